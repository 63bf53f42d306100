"""The files of a bundle that are published, and their way to where they are served."""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tuf.api.metadata import TargetFile, Targets

from daemon.bundle.manifest import MANIFEST, Manifest
from daemon.bundle.release import SELFTEST_PREFIX, FileEntry, Release, ReleaseInfo, version_key
from daemon.core.errors import BundleError
from daemon.core.files import removed_on_error, sync_directory

LICENCES = ("LICENCE", "LICENSE")
"""Published with the models where it is there, under either name."""

CHUNK_BYTES = 1 << 20

PUBLIC_FILE_MODE, PUBLIC_DIRECTORY_MODE = 0o644, 0o755
"""Permissions of what is served, whatever the umask: a web server is another user."""


def describe_release(directory: Path, manifest: Manifest, needs_perceptd: str, memory_mb: int) -> Release:
    """What is to be signed of a bundle. Raises BundleError when its name, version or files cannot be published."""
    try:
        signed = ReleaseInfo(
            name=manifest.name, version=manifest.version, needs_perceptd=needs_perceptd, memory_mb=memory_mb
        )
        return Release(signed=signed, files=tuple(_entry(directory, path) for path in _paths(directory, manifest)))
    except ValidationError as error:
        problems = "; ".join(_in_words(problem) for problem in error.errors(include_url=False))
        raise BundleError(f"{directory}: cannot be published: {problems}") from error


def copy_file(directory: Path, entry: FileEntry, target: Path, mode: int = 0o600) -> None:
    """Copy one file of a bundle, whole or not at all. Raises BundleError when it is not what it was; and OSError."""
    new = target.with_name(f"{target.name}.new")
    with removed_on_error(new):
        with _open(directory, entry.path) as reader, new.open("wb") as writer:
            os.fchmod(writer.fileno(), mode)
            found = _hash(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        if found != (entry.length, entry.sha256):
            raise BundleError(f"{directory / entry.path}: has changed since it was looked at; add the bundle again")
        new.replace(target)
    sync_directory(target.parent)


def is_copy(path: Path, entry: FileEntry) -> bool:
    """Whether the file is there and is what was signed. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _hash(file) == (entry.length, entry.sha256)


def target_name(release: Release, entry: FileEntry) -> str:
    """By what a file of a bundle is signed."""
    return f"{release.signed.name}/{release.signed.version}/{entry.path}"


def target_path(name: str, sha256: str) -> str:
    """Where a target lies below targets/: its hash stands before its own name."""
    parent, _, file_name = name.rpartition("/")
    return f"{parent}/{sha256}.{file_name}"


def _paths(directory: Path, manifest: Manifest) -> list[str]:
    """In order; those of the self-test except hidden ones, which editors and file managers leave."""
    models = {manifest.head.model}
    for spec in manifest.modalities.present().values():
        models |= {name for name in (spec.model, spec.edgetpu) if name is not None}
    licences = {name for name in LICENCES if (directory / name).is_file()}
    cases = {f"{SELFTEST_PREFIX}{path.name}" for path in (directory / SELFTEST_PREFIX).glob("[!.]*") if path.is_file()}
    for path in cases:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", Path(path).name):
            raise BundleError(f"{directory / path}: expected a name of letters, digits and . _ - alone; rename it")
    return sorted({MANIFEST} | models | licences | cases)


def _in_words(problem: ErrorDetails) -> str:
    key = ".".join(map(str, problem["loc"]))
    return f"{key}: {problem['msg']}" if key else problem["msg"].removeprefix("Value error, ")


def _entry(directory: Path, path: str) -> FileEntry:
    with _open(directory, path) as file:
        length, sha256 = _hash(file)
    return FileEntry(path=path, length=length, sha256=sha256)


def _open(directory: Path, path: str) -> BinaryIO:
    """A file of the bundle's own: what a link leads to, a key say, would be published."""
    whole = directory / path
    if whole.resolve() != directory.resolve() / path:
        raise BundleError(f"{whole}: is a symbolic link, or lies below one; put what is to be published in its place")
    # without waiting: a pipe would be opened when somebody writes to it, perhaps never
    file = os.fdopen(os.open(whole, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BundleError(f"{whole}: is no regular file; put what is to be published in its place")
    return file


def _hash(reader: BinaryIO, writer: BinaryIO | None = None) -> tuple[int, str]:
    length, digest = 0, hashlib.sha256()
    while chunk := reader.read(CHUNK_BYTES):
        length += len(chunk)
        digest.update(chunk)
        if writer is not None:
            writer.write(chunk)
    return length, digest.hexdigest()


CUSTOM = "perceptd"
"""Below `custom` of the manifest's target."""


def add_release(targets: Targets, release: Release) -> None:
    """Every file becomes a target; the manifest's says what the whole is."""
    for entry in release.files:
        name = target_name(release, entry)
        more = {"custom": {CUSTOM: release.signed.model_dump()}} if entry.path == MANIFEST else {}
        targets.targets[name] = TargetFile(entry.length, {"sha256": entry.sha256}, name, more)


def releases(targets: Targets) -> list[Release]:
    """All that was published, in the order of names and versions."""
    files = defaultdict(list)
    signed = {}
    for name, target in targets.targets.items():
        bundle, version, path = name.split("/", 2)
        files[bundle, version].append(FileEntry(path=path, length=target.length, sha256=target.hashes["sha256"]))
        if path == MANIFEST:
            signed[bundle, version] = ReleaseInfo.model_validate(target.custom[CUSTOM])
    return sort_releases(
        Release(signed=signed[key], files=tuple(sorted(entries, key=lambda entry: entry.path)))
        for key, entries in files.items()
    )


def sort_releases(unordered: Iterable[Release]) -> list[Release]:
    """By name, then version."""
    return sorted(unordered, key=lambda release: (release.signed.name, version_key(release.signed.version)))

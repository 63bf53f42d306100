"""The files of a bundle that are published, and their way to where they are served."""

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemon.errors import BundleError
from daemon.files import sync_directory
from daemon.manifest import Manifest
from daemon.release import MANIFEST, SELFTEST, FileEntry, Release, Signed

LICENCES = ("LICENCE", "LICENSE")
"""Published with the models where it is there, under either name."""

CHUNK_BYTES = 1 << 20


def release_of(directory: Path, manifest: Manifest, needs_perceptd: str, memory_mb: int) -> Release:
    """What is to be signed of a bundle. Raises BundleError when its name, version or files cannot be published."""
    try:
        signed = Signed(
            name=manifest.name, version=manifest.version, needs_perceptd=needs_perceptd, memory_mb=memory_mb
        )
        return Release(signed=signed, files=tuple(_entry(directory, path) for path in _paths(directory, manifest)))
    except ValidationError as error:
        problems = "; ".join(_in_words(problem) for problem in error.errors(include_url=False))
        raise BundleError(f"{directory}: cannot be published: {problems}") from error


def copy_file(source: Path, target: Path, entry: FileEntry) -> None:
    """Copy one file of a bundle, whole or not at all. Raises BundleError when it is not what it was; and OSError."""
    new = target.with_name(f"{target.name}.new")
    with source.open("rb") as reader, new.open("wb") as writer:
        found = _hash(reader, writer)
        writer.flush()
        os.fsync(writer.fileno())
    if found != (entry.length, entry.sha256):
        new.unlink()
        raise BundleError(f"{source}: has changed since it was looked at; add the bundle again")
    new.replace(target)
    sync_directory(target.parent)


def target_name(release: Release, entry: FileEntry) -> str:
    """By what a file of a bundle is signed."""
    return f"{release.signed.name}/{release.signed.version}/{entry.path}"


def served_name(name: str, sha256: str) -> str:
    """Where a target lies below targets/: its hash stands before its own name."""
    parent, _, own = name.rpartition("/")
    return f"{parent}/{sha256}.{own}"


def _paths(directory: Path, manifest: Manifest) -> list[str]:
    """In order; those of the self-test except hidden ones, which editors and file managers leave."""
    models = {manifest.head.model}
    for spec in manifest.modalities.present().values():
        models |= {name for name in (spec.model, spec.edgetpu) if name is not None}
    licences = {name for name in LICENCES if (directory / name).is_file()}
    cases = {f"{SELFTEST}{path.name}" for path in (directory / SELFTEST).glob("[!.]*") if path.is_file()}
    for path in cases:
        if not re.fullmatch(r"[A-Za-z0-9._-]+", Path(path).name):
            raise BundleError(f"{directory / path}: expected a name of letters, digits and . _ - alone; rename it")
    return sorted({MANIFEST} | models | licences | cases)


def _in_words(problem: ErrorDetails) -> str:
    key = ".".join(map(str, problem["loc"]))
    return f"{key}: {problem['msg']}" if key else problem["msg"].removeprefix("Value error, ")


def _entry(directory: Path, path: str) -> FileEntry:
    with (directory / path).open("rb") as file:
        length, sha256 = _hash(file)
    return FileEntry(path=path, length=length, sha256=sha256)


def _hash(reader: BinaryIO, writer: BinaryIO | None = None) -> tuple[int, str]:
    length, digest = 0, hashlib.sha256()
    while chunk := reader.read(CHUNK_BYTES):
        length += len(chunk)
        digest.update(chunk)
        if writer is not None:
            writer.write(chunk)
    return length, digest.hexdigest()

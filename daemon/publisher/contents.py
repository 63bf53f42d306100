"""The files of a bundle that are published: selected, hashed, copied, and listed as TUF targets."""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from tuf.api.metadata import TargetFile, Targets

from daemon.bundle.bundle import load_bundle
from daemon.bundle.files import ML_BOM, bundle_files
from daemon.bundle.manifest import MANIFEST, Manifest
from daemon.bundle.ml_bom import ml_bom
from daemon.bundle.ml_bom_file import MAX_ML_BOM_BYTES
from daemon.bundle.ml_bom_reader import renewed
from daemon.bundle.release import FileEntry, Release, ReleaseInfo, oldest_perceptd, version_key
from daemon.core.document import validator_text
from daemon.core.errors import BundleError, Refused
from daemon.core.files import read_bounded, removed_on_error, replace_file, sync_directory
from daemon.publisher.provenance import Provenance

# the field under `custom` of the manifest's target
CUSTOM = "perceptd"

# permissions of published files, independent of the umask: a web server runs as another user
PUBLIC_FILE_MODE, PUBLIC_DIRECTORY_MODE = 0o644, 0o755

CHUNK_BYTES = 1 << 20


def describe_release(directory: Path, manifest: Manifest, needs_perceptd: str, memory_mb: int) -> Release:
    """Return the release of a bundle.

    Its `needs_perceptd` is raised to the version that reads all keys of the manifest. A bundle whose ML-BOM is
    missing or describes other files gets a new one.
    Raises BundleError when its name, version or files cannot be published.
    """
    if manifest.is_local:
        raise BundleError(
            f"{directory}: cannot be published: {manifest.id} was taught to a node; `perceptd teach export` gives it"
            " a name and a version of its own"
        )
    try:
        needs = oldest_perceptd(manifest, needs_perceptd)
        info = ReleaseInfo(name=manifest.name, version=manifest.version, needs_perceptd=needs, memory_mb=memory_mb)
        files = [_entry(directory, path) for path in bundle_files(directory, manifest)]
        return Release(signed=info, files=_with_ml_bom(directory, manifest, files))
    except ValidationError as error:
        problems = "; ".join(_problem_text(problem) for problem in error.errors(include_url=False))
        raise BundleError(f"{directory}: cannot be published: {problems}") from error


def copy_part(bundle: Path, release: Release, entry: FileEntry, target: Path, mode: int = 0o600) -> None:
    """Copy one file of a release from its bundle, and the ML-BOM as it was described.

    Raises BundleError when its content has changed since then, and OSError.
    """
    if entry.path != ML_BOM:
        copy_file(bundle, entry, target, mode)
        return
    content = _ml_bom(bundle, load_bundle(bundle).manifest, release.files)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BundleError(f"{bundle}: has changed since it was hashed; add the bundle again")
    replace_file(target, content, mode)


def copy_file(directory: Path, entry: FileEntry, target: Path, mode: int = 0o600) -> None:
    """Copy one file of a bundle atomically. Raises BundleError when its content has changed, and OSError."""
    new = target.with_name(f"{target.name}.new")
    with removed_on_error(new):
        with _open(directory, entry.path) as reader, new.open("wb") as writer:
            os.fchmod(writer.fileno(), mode)
            found = _hash(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        if found != (entry.length, entry.sha256):
            raise BundleError(f"{directory / entry.path}: has changed since it was hashed; add the bundle again")
        new.replace(target)
    sync_directory(target.parent)


def is_copy(path: Path, entry: FileEntry) -> bool:
    """Return whether the file exists and has the signed content. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _hash(file) == (entry.length, entry.sha256)


def release_provenance(release: Release, commit: str | None) -> Provenance:
    """Return what is signed of a release: its files, and the commit that they are made of, if somebody has said it.

    Raises Refused where an older version has staged it, without an ML-BOM.
    """
    files = {entry.path: entry.sha256 for entry in release.files}
    if ML_BOM not in files:
        raise Refused(f"{release.id}: was staged without {ML_BOM} by an older version of perceptd; add it again")
    facts = {"name": release.signed.name, "version": release.signed.version}
    return Provenance("bundle", files, commit, files[ML_BOM], facts)


def target_name(release: Release, entry: FileEntry) -> str:
    """Return the name of a file's TUF target."""
    return f"{release.signed.name}/{release.signed.version}/{entry.path}"


def target_path(name: str, sha256: str) -> str:
    """Return the path of a target below targets/: TUF's consistent snapshots put the hash before the file name."""
    parent, _, file_name = name.rpartition("/")
    return f"{parent}/{sha256}.{file_name}"


def add_release(targets: Targets, release: Release) -> None:
    """Add a target for every file; that of the manifest carries the release's facts."""
    for entry in release.files:
        name = target_name(release, entry)
        more = {"custom": {CUSTOM: release.signed.model_dump()}} if entry.path == MANIFEST else {}
        targets.targets[name] = TargetFile(entry.length, {"sha256": entry.sha256}, name, more)


def releases(targets: Targets) -> list[Release]:
    """Return all published releases, sorted by name and version."""
    files = defaultdict(list)
    infos = {}
    for name, target in targets.targets.items():
        bundle, version, path = name.split("/", 2)
        files[bundle, version].append(FileEntry(path=path, length=target.length, sha256=target.hashes["sha256"]))
        if path == MANIFEST:
            infos[bundle, version] = ReleaseInfo.model_validate(target.custom[CUSTOM])
    return sort_releases(
        Release(signed=infos[key], files=tuple(sorted(entries, key=attrgetter("path"))))
        for key, entries in files.items()
    )


def sort_releases(unsorted: Iterable[Release]) -> list[Release]:
    """Return the releases sorted by name, then version."""
    return sorted(unsorted, key=lambda release: (release.signed.name, version_key(release.signed.version)))


def _problem_text(problem: ErrorDetails) -> str:
    key = ".".join(map(str, problem["loc"]))
    return f"{key}: {problem['msg']}" if key else validator_text(problem)


def _with_ml_bom(directory: Path, manifest: Manifest, files: list[FileEntry]) -> tuple[FileEntry, ...]:
    """Return the files of a release, with an ML-BOM that describes them."""
    content = _ml_bom(directory, manifest, files)
    made = FileEntry(path=ML_BOM, length=len(content), sha256=hashlib.sha256(content).hexdigest())
    return tuple(sorted([*(entry for entry in files if entry.path != ML_BOM), made], key=attrgetter("path")))


def _ml_bom(directory: Path, manifest: Manifest, files: Sequence[FileEntry]) -> bytes:
    """Return the ML-BOM that is signed: that of the directory, or a new one where it describes other files."""
    try:
        return renewed(read_bounded(directory / ML_BOM, MAX_ML_BOM_BYTES), manifest, files)
    except FileNotFoundError:
        return ml_bom(manifest, files)


def _entry(directory: Path, path: str) -> FileEntry:
    with _open(directory, path) as file:
        length, sha256 = _hash(file)
    return FileEntry(path=path, length=length, sha256=sha256)


def _open(directory: Path, path: str) -> BinaryIO:
    """Open a regular file of the bundle. Raises BundleError for a link: its target, such as a key, would be public."""
    full = directory / path
    if full.resolve() != directory.resolve() / path:
        raise BundleError(f"{full}: is a symbolic link, or lies below one; replace the link by the file")
    # O_NONBLOCK: a named pipe would block until somebody writes to it
    file = os.fdopen(os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BundleError(f"{full}: is not a regular file; replace it by one")
    return file


def _hash(reader: BinaryIO, writer: BinaryIO | None = None) -> tuple[int, str]:
    """Return length and SHA-256 of the content, and copy it to the writer, if any."""
    length, digest = 0, hashlib.sha256()
    while chunk := reader.read(CHUNK_BYTES):
        length += len(chunk)
        digest.update(chunk)
        if writer is not None:
            writer.write(chunk)
    return length, digest.hexdigest()

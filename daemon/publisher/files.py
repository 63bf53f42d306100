"""The files of a repository: published and staged bundles, pending metadata, the last signed versions, and the lock."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from daemon.bundle.manifest import SELFTEST_DIRECTORY
from daemon.bundle.release import FileEntry, Release
from daemon.core.errors import Refused
from daemon.core.files import replace_file, sync_directory
from daemon.publisher.contents import (
    PUBLIC_DIRECTORY_MODE,
    PUBLIC_FILE_MODE,
    copy_part,
    is_copy,
    sort_releases,
    target_name,
    target_path,
)
from daemon.publisher.metadata import Edition
from daemon.publisher.provenance import IN_RELEASE

RELEASE, FILES = "release.json", "files"
LOCK = "lock"

# Root is last: by then its new keys have signed every other document, and so have the old keys where available.
REPLACE_ORDER = ("targets", "snapshot", "timestamp", "root")

_VERSIONS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


class Staging:
    """A directory of bundles that wait to be published: for each its release and its files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, release: Release, bundle: Path) -> None:
        """Copy a bundle; it replaces a staged one of the same name and version.

        Raises BundleError when its files have changed since the release was described, and OSError.
        """
        new = self._directory / f".{release.id}.new"
        shutil.rmtree(new, ignore_errors=True)
        (new / FILES / SELFTEST_DIRECTORY).mkdir(parents=True)
        for entry in release.files:
            copy_part(bundle, release, entry, new / FILES / entry.path)
        replace_file(new / RELEASE, release.model_dump_json().encode())
        self.remove(release)
        new.rename(self._directory / release.id)
        sync_directory(self._directory)

    def releases(self) -> list[Release]:
        """Return the staged releases, sorted by name and version. Raises Refused for a damaged file, and OSError."""
        return sort_releases(_read_release(path) for path in self._directory.glob(f"[!.]*/{RELEASE}"))

    def files(self, release: Release) -> Path:
        """Return the directory with the copies of a bundle's files."""
        return self._directory / release.id / FILES

    def remove(self, release: Release) -> None:
        """Remove a bundle if it is staged. Raises OSError."""
        if (self._directory / release.id).is_dir():
            gone = self._directory / f".{release.id}.gone"
            shutil.rmtree(gone, ignore_errors=True)
            (self._directory / release.id).rename(gone)
            shutil.rmtree(gone)


class LastSigned:
    """A file with the last signed version of each role: devices refuse lower ones, so none may be signed."""

    def __init__(self, path: Path) -> None:
        """Use the file at `path`; without it no version is known, and none is refused."""
        self._path = path

    def record(self, documents: Iterable[bytes]) -> None:
        """Store the versions of signed documents. Raises Refused when the file is damaged, and OSError."""
        signed = [json.loads(document)["signed"] for document in documents]
        versions = self._read() | {document["_type"]: document["version"] for document in signed}
        replace_file(self._path, json.dumps(versions).encode())

    def refuse_older(self, edition: Edition) -> None:
        """Raise Refused when a document is older than the last signed one, or the file is damaged; and OSError."""
        for role, last in self._read().items():
            found = edition.document(role).signed.version
            if found < last:
                older = f"public/ or root.json is older than what was published: {role} has version {found}"
                raise Refused(
                    f"{older}, but {last} was signed, and devices that have received it refuse lower versions: restore "
                    "the newer copy, for example from the web server; if there is none, remove "
                    f"{self._path}, and rotate the keys of timestamp and snapshot"
                )

    def _read(self) -> dict[str, int]:
        try:
            return _VERSIONS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise Refused(f"{self._path}: is damaged; restore it from a backup, or remove it") from error


class Pending:
    """Signed documents that are about to replace the published ones, in a directory that survives an interruption."""

    def __init__(self, directory: Path, metadata: Path, root: Path, last: LastSigned) -> None:
        """`metadata` is the published directory, `root` the newest root; `last` records the versions."""
        self._directory, self._metadata, self._root, self._last = directory, metadata, root, last

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace documents; the keys are their names below metadata/. Raises OSError."""
        new = self._directory.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        for name, content in files.items():
            replace_file(new / name, content)
        new.rename(self._directory)
        sync_directory(self._directory.parent)
        self.finish()

    def finish(self) -> None:
        """Complete a replacement, also one that an interrupted command has left. Raises OSError."""
        if not self._directory.is_dir():
            return
        paths = sorted(self._directory.glob("*.json"), key=lambda path: REPLACE_ORDER.index(_role(path)))
        contents = {path: path.read_bytes() for path in paths}
        self._last.record(contents.values())
        for path, content in contents.items():
            replace_file(self._metadata / path.name, content, PUBLIC_FILE_MODE)
            if _role(path) == "root":
                replace_file(self._root, content)
        shutil.rmtree(self._directory)


def make_public_directories(*directories: Path) -> None:
    """Create directories that a web server can read; each parent must exist or come first. Raises OSError."""
    for directory in directories:
        if not directory.is_dir():
            directory.mkdir()
            directory.chmod(PUBLIC_DIRECTORY_MODE)


def copy_to_targets(targets: Path, release: Release, bundle: Path) -> None:
    """Copy a bundle's files below the published targets/; devices do not see them before they are signed.

    Raises BundleError when a file has changed, and OSError.
    """
    for entry in release.files:
        _copy(targets, release, entry, bundle)
    version = targets / release.signed.name / release.signed.version
    for directory in (version, version.parent, targets):
        sync_directory(directory)


def write_provenance(targets: Path, release: Release, content: bytes) -> None:
    """Write the signed provenance of a release beside its files. It is no target: devices do not ask for it."""
    replace_file(targets / release.signed.name / release.signed.version / IN_RELEASE, content, PUBLIC_FILE_MODE)


def restore_files(targets: Path, release: Release, bundle: Path) -> int:
    """Copy the published files that are missing or differ from the signed ones; return their number.

    Raises BundleError when a file of the bundle has changed, and OSError.
    """
    lost = [entry for entry in release.files if not is_copy(_place(targets, release, entry), entry)]
    for entry in lost:
        _copy(targets, release, entry, bundle)
    return len(lost)


def flaws(targets: Path, releases: Iterable[Release]) -> Iterator[str]:
    """Yield a message for each published file that is missing or has not the signed size. Raises OSError."""
    for release in releases:
        for entry in release.files:
            path = _place(targets, release, entry)
            remedy = f"restore it, or add {release.id} again, which restores it"
            if not path.is_file():
                yield f"{path}: is missing; {remedy}"
            elif (size := path.stat().st_size) != entry.length:
                yield f"{path}: has {size} bytes, but {entry.length} were signed; {remedy}"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a repository; wait for another command that holds the lock, with a message on standard error.

    Raises OSError.
    """
    # read only: a lock file that another user made, for example root, can be locked too
    descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _copy(targets: Path, release: Release, entry: FileEntry, bundle: Path) -> None:
    path = _place(targets, release, entry)
    make_public_directories(*(parent for parent in reversed(path.parents) if parent.is_relative_to(targets)))
    copy_part(bundle, release, entry, path, PUBLIC_FILE_MODE)


def _place(targets: Path, release: Release, entry: FileEntry) -> Path:
    return targets / target_path(target_name(release, entry), entry.sha256)


def _read_release(path: Path) -> Release:
    try:
        return Release.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Refused(f"{path}: is damaged; remove {path.parent}, and add the bundle again") from error


def _role(path: Path) -> str:
    return path.name.split(".")[-2]


def _lock(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"{directory}: waiting for another perceptd repo command\n")
        sys.stderr.flush()
        fcntl.flock(descriptor, fcntl.LOCK_EX)

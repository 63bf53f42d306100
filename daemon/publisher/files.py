"""The files of published bundles, where they are served: put there, looked at, put back."""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from daemon.bundle.release import FileEntry, Release
from daemon.core.errors import Refused
from daemon.core.files import replace_file, sync_directory
from daemon.publisher.contents import (
    PUBLIC_DIRECTORY_MODE,
    PUBLIC_FILE_MODE,
    copy_file,
    is_copy,
    sort_releases,
    target_name,
    target_path,
)
from daemon.publisher.metadata import Edition


def make_public_directories(*directories: Path) -> None:
    """Make directories, each in one that is there, which a web server can read. Raises OSError."""
    for directory in directories:
        if not directory.is_dir():
            directory.mkdir()
            directory.chmod(PUBLIC_DIRECTORY_MODE)


def copy_to_targets(targets: Path, release: Release, bundle: Path) -> None:
    """Copy a bundle's files to where they are served; nobody looks there until they are signed.

    Raises BundleError when one is not what it was, and OSError.
    """
    for entry in release.files:
        _copy(targets, release, entry, bundle)
    version = targets / release.signed.name / release.signed.version
    for directory in (version, version.parent, targets):
        sync_directory(directory)


def restore_files(targets: Path, release: Release, bundle: Path) -> int:
    """Copy those files of a published bundle that are missing or not what was signed; gives how many.

    Raises BundleError when one is not what it was, and OSError.
    """
    lost = [entry for entry in release.files if not is_copy(_place(targets, release, entry), entry)]
    for entry in lost:
        _copy(targets, release, entry, bundle)
    return len(lost)


def flaws(targets: Path, releases: Iterable[Release]) -> Iterator[str]:
    """Files that are missing, or have another size than was signed, in words. Raises OSError."""
    for release in releases:
        for entry in release.files:
            path = _place(targets, release, entry)
            if not path.is_file():
                yield f"{path}: is missing; restore it, or add {release.id} again, which puts it back"
            elif (size := path.stat().st_size) != entry.length:
                words = f"has {size} bytes, but {entry.length} were signed"
                yield f"{path}: {words}; restore it, or add {release.id} again, which puts it back"


def _copy(targets: Path, release: Release, entry: FileEntry, bundle: Path) -> None:
    path = _place(targets, release, entry)
    make_public_directories(*(parent for parent in reversed(path.parents) if parent.is_relative_to(targets)))
    copy_file(bundle, entry, path, PUBLIC_FILE_MODE)


def _place(targets: Path, release: Release, entry: FileEntry) -> Path:
    return targets / target_path(target_name(release, entry), entry.sha256)


RELEASE = "release.json"
FILES = "files"


class Staging:
    """A directory with one more for each bundle: what is to be signed, and its files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, release: Release, bundle: Path) -> None:
        """Copy a bundle; one of the same name and version that waits is replaced.

        Raises BundleError when its files have changed since the release was made of them, and OSError.
        """
        new = self._directory / f".{release.id}.new"
        shutil.rmtree(new, ignore_errors=True)
        (new / FILES / "selftest").mkdir(parents=True)
        for entry in release.files:
            copy_file(bundle, entry, new / FILES / entry.path)
        replace_file(new / RELEASE, release.model_dump_json().encode())
        self.remove(release)
        new.rename(self._directory / release.id)
        sync_directory(self._directory)

    def releases(self) -> list[Release]:
        """What waits, in the order of names and versions. Raises Refused when something is damaged, and OSError."""
        return sort_releases(_read(path) for path in self._directory.glob(f"[!.]*/{RELEASE}"))

    def files(self, release: Release) -> Path:
        """The directory with the copies of a bundle's files."""
        return self._directory / release.id / FILES

    def remove(self, release: Release) -> None:
        """Forget a bundle, if it waits. Raises OSError."""
        if (self._directory / release.id).is_dir():
            gone = self._directory / f".{release.id}.gone"
            shutil.rmtree(gone, ignore_errors=True)
            (self._directory / release.id).rename(gone)
            shutil.rmtree(gone)


def _read(path: Path) -> Release:
    try:
        return Release.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Refused(f"{path}: is damaged; remove {path.parent}, and add the bundle again") from error


_VERSIONS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[str, int])


class LastSigned:
    """A small file. Devices refuse versions that are lower than those they have seen, so nothing may begin there."""

    def __init__(self, path: Path) -> None:
        """Where it is missing nothing is known, and nothing refused."""
        self._path = path

    def note(self, documents: Iterable[bytes]) -> None:
        """Keep the versions of signed documents. Raises Refused when the file is damaged, and OSError."""
        signed = [json.loads(document)["signed"] for document in documents]
        versions = self._read() | {document["_type"]: document["version"] for document in signed}
        replace_file(self._path, json.dumps(versions).encode())

    def refuse_older(self, edition: Edition) -> None:
        """Raises Refused when a document is older than the last one signed, or the file is damaged; and OSError."""
        for role, last in self._read().items():
            found = edition.document(role).signed.version
            if found < last:
                older = f"public/ or root.json is older than what was published: {role} has version {found}"
                raise Refused(
                    f"{older}, but {last} was signed, and devices that have seen it refuse what is lower: restore the "
                    "newer copy, from where it is served say; if there is none, remove "
                    f"{self._path}, and rotate the keys of timestamp and snapshot"
                )

    def _read(self) -> dict[str, int]:
        try:
            return _VERSIONS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise Refused(f"{self._path}: is damaged; restore it from a backup, or remove it") from error


REPLACE_ORDER = ("targets", "snapshot", "timestamp", "root")
"""Root is last: its new keys have signed all that is there by then, and the old ones too, where they were at hand."""


class Pending:
    """The documents that are to be put in place, in a directory beside the one that is served."""

    def __init__(self, directory: Path, metadata: Path, root: Path, last: LastSigned) -> None:
        """`metadata` is served; `root` is the file that holds the newest root; `last` learns what was put in place."""
        self._directory, self._metadata, self._root, self._last = directory, metadata, root, last

    def put(self, files: Mapping[str, bytes]) -> None:
        """Put documents in place, by their names below metadata/. Raises OSError."""
        new = self._directory.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        for name, content in files.items():
            replace_file(new / name, content)
        new.rename(self._directory)
        sync_directory(self._directory.parent)
        self.finish()

    def finish(self) -> None:
        """Put in place what an interrupted command has left, if anything. Raises OSError."""
        if not self._directory.is_dir():
            return
        paths = sorted(self._directory.glob("*.json"), key=lambda path: REPLACE_ORDER.index(_role(path)))
        contents = {path: path.read_bytes() for path in paths}
        self._last.note(contents.values())
        for path, content in contents.items():
            replace_file(self._metadata / path.name, content, PUBLIC_FILE_MODE)
            if _role(path) == "root":
                replace_file(self._root, content)
        shutil.rmtree(self._directory)


def _role(path: Path) -> str:
    return path.name.split(".")[-2]


LOCK = "lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Waits for another command that works on it, and says so on standard error. Raises OSError."""
    # read only: one that another user made, root say, can be locked all the same
    descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"{directory}: waiting for another perceptd repo command\n")
        sys.stderr.flush()
        fcntl.flock(descriptor, fcntl.LOCK_EX)

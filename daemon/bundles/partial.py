"""The directory that a bundle's files are brought into, one by one: each is whole under its name, or not there."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from daemon.bundles.trust import matches
from daemon.errors import UpdateError
from daemon.files import read_bounded, replace_file
from daemon.release import LISTING, FileEntry, Release, listing

FETCHING = ".fetching"
"""The file that is not whole yet; no file of a bundle begins with a dot."""

LISTING_BYTES_MOST = 200_000
"""A thousand files with long names."""


class Partial:
    """What is there of a release. Every method may raise OSError."""

    def __init__(self, directory: Path, release: Release) -> None:
        self._directory = directory
        self._release = release
        self._fetching = directory / FETCHING

    def prepare(self) -> None:
        """Make the directory, and remove what does not belong to the release."""
        for entry in self._release.files:
            self._path(entry).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = {self._path(entry) for entry in self._release.files}
        for path in [path for path in self._directory.rglob("*") if path not in wanted and not path.is_dir()]:
            path.unlink()

    def has(self, entry: FileEntry) -> bool:
        """Whether the file is there, as it was signed."""
        return _is(self._path(entry), entry)

    def adopt(self, entry: FileEntry, source: Path) -> bool:
        """Copy a file that should be the same; whether it is. A link would share the other one's fate."""
        if not _can_be_read(source, entry):
            return False
        try:
            shutil.copyfile(source, self._fetching)
            return self._keep(entry)
        finally:
            self._fetching.unlink(missing_ok=True)

    def take(self, entry: FileEntry, chunks: Iterable[bytes]) -> bool:
        """Write what comes; whether it is what was signed."""
        try:
            with self._fetching.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            return self._keep(entry)
        finally:
            self._fetching.unlink(missing_ok=True)

    def seal(self) -> None:
        """Bring everything to the disk, read it back from there, and list it.

        Raises UpdateError; a file that cannot be read back is removed, so that it is fetched again.
        """
        for entry in self._release.files:
            path = self._path(entry)
            _sync(path)
            if not _is(path, entry):
                path.unlink()
                raise UpdateError("disk", f"{path}: what was written cannot be read back: the disk fails, or its card")
        replace_file(self._directory / LISTING, listing(self._release.files))
        for directory in sorted({self._path(entry).parent for entry in self._release.files}, reverse=True):
            _sync(directory)

    def _keep(self, entry: FileEntry) -> bool:
        if not _is(self._fetching, entry):
            return False
        self._fetching.replace(self._path(entry))
        return True

    def _path(self, entry: FileEntry) -> Path:
        return self._directory / entry.path


def contents(slot: Path) -> dict[tuple[str, int], Path]:
    """The files that a slot of the store lists, by sha256 and length; none if its list cannot be read."""
    found = {}
    try:
        lines = read_bounded(slot / LISTING, LISTING_BYTES_MOST).decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        sha256, length, path = (*line.split(" ", 2), "", "")[:3]
        if length.isdecimal():
            found[sha256, int(length)] = slot / path
    return found


def _is(path: Path, entry: FileEntry) -> bool:
    try:
        with path.open("rb") as file:
            return matches(file, entry)
    except FileNotFoundError:
        return False


def _can_be_read(path: Path, entry: FileEntry) -> bool:
    try:
        return _is(path, entry)
    except OSError:
        return False  # the disk fails there: that is no reason not to write elsewhere


def _sync(path: Path) -> None:
    """To the disk, and out of memory, so that reading it again shows what the disk has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)

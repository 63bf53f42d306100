"""Bundles on disk: whole ones in slots, named by their content and never changed, and those that are being fetched."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from daemon.bundle.release import FILE_LIST_NAME, FileEntry, Release
from daemon.core.errors import UpdateError
from daemon.core.files import read_bounded, sync_directory
from daemon.updates.steps import Beat

LISTING_BYTES = 256 * 1024
"""A bundle has 400 files at most (release.py), with some 200 bytes each in its listing."""

CHUNK_BYTES = 1024 * 1024
"""The slowest boards hash so much in a tenth of a second."""


def check_integrity(directory: Path, content: str, beat: Beat) -> None:
    """Raises UpdateError when the directory is not whole: `content` names its listing, which names all its files."""
    try:
        files = _listed(directory / FILE_LIST_NAME, content)
        for entry in files:
            _check_file(directory / entry.path, entry, beat)
    except OSError as error:
        raise UpdateError("disk", f"{directory} is not whole: {error.strerror or error}: {error.filename}") from error


def _listed(path: Path, content: str) -> list[FileEntry]:
    text = read_bounded(path, LISTING_BYTES)
    if hashlib.sha256(text).hexdigest() != content:
        raise UpdateError("disk", f"{path} is damaged")
    try:
        return [_entry(line) for line in text.decode().splitlines()]
    except (ValueError, ValidationError) as error:
        raise UpdateError("disk", f"{path} makes no sense") from error


def _entry(line: str) -> FileEntry:
    sha256, length, path = line.split(" ")
    return FileEntry(path=path, length=int(length), sha256=sha256)


def _check_file(path: Path, entry: FileEntry, beat: Beat) -> None:
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            beat()
            digest.update(chunk)
            length += len(chunk)
    if length != entry.length or digest.hexdigest() != entry.sha256:
        raise UpdateError("disk", f"{path} is damaged")


SLOTS = "slots"

MB = 1024 * 1024

RESERVE_BYTES = 64 * MB
"""Left free on the disk: events that wait for a broker, and everybody's logs, need room too."""


class Slots:
    """The directories below `directory`; its methods raise UpdateError when the disk is full, read-only or damaged."""

    def __init__(self, directory: Path, quota_bytes: int) -> None:
        """All bundles kept take at most the quota."""
        self._quota_bytes = quota_bytes
        self._slots, self._partial, self._trash = (directory / name for name in (SLOTS, "partial", "trash"))
        self.metadata = directory / "tuf"

    def slot(self, content: str) -> Path:
        """Where a whole bundle is, or would be."""
        return self._slots / content

    def is_intact(self, content: str, beat: Beat) -> bool:
        """Whether the slot is there, and what it should be."""
        try:
            check_integrity(self.slot(content), content, beat)
        except UpdateError:  # then it is made anew
            return False
        return True

    def make(self) -> None:
        """Make the directories there must be."""
        with _told():
            for directory in (self._slots, self._partial, self.metadata):
                _make(directory)

    def gather(self, content: str) -> Path:
        """The directory in which a bundle is gathered, made if need be; what an earlier try left is in it."""
        path = self._partial / content
        with _told():
            _make(path)
        return path

    def check_room(self, release: Release, kept: Set[str]) -> None:
        """Raises UpdateError when the release finds no room beside the contents that are kept."""
        with _told():
            others = sum(_size(self.slot(content)) for content in kept - {release.content})
            missing = max(0, release.size - _size(self._partial / release.content))
            status = os.statvfs(self._slots.parent)
        if problem := room_problem(
            missing, status.f_bavail * status.f_frsize, others + release.size, self._quota_bytes
        ):
            raise UpdateError("disk", problem)

    def adopt(self, content: str) -> None:
        """What was gathered becomes a slot; whatever had its place goes."""
        with _told():
            slot, partial = self.slot(content), self._partial / content
            if slot.exists():
                self._discard(slot)
            partial.rename(slot)
            sync_directory(self._slots)
            sync_directory(self._partial)

    def sweep(self, kept: Set[str]) -> None:
        """Remove slots that are not kept, and what was gathered, but for what is kept or else was touched last."""
        with _told():
            for path in _names(self._slots):
                if path.name not in kept:
                    self._discard(path)
            partials = _names(self._partial)
            if not any(path.name in kept for path in partials):
                partials = sorted(partials, key=lambda path: path.stat().st_mtime)[:-1]
            for path in partials:
                if path.name not in kept:
                    self._discard(path)
            self._empty_trash()

    def _discard(self, path: Path) -> None:
        # renamed first: what is half removed must not look like a slot
        self._empty_trash()
        self._trash.mkdir(mode=0o700)
        path.rename(self._trash / path.name)
        sync_directory(path.parent)
        self._empty_trash()

    def _empty_trash(self) -> None:
        if self._trash.exists():
            shutil.rmtree(self._trash)


def room_problem(missing_bytes: int, free_bytes: int, kept_bytes: int, quota_bytes: int) -> str | None:
    """Why a bundle finds no room, in words: `missing_bytes` are to be written, `kept_bytes` kept then in all."""
    if kept_bytes > quota_bytes:
        return f"bundles would take {_mb(kept_bytes)} MB, models.quota_mb is {_mb(quota_bytes)}"
    if free_bytes - missing_bytes < RESERVE_BYTES:
        return (
            f"{_mb(missing_bytes)} MB are to be written, {_mb(free_bytes)} MB are free,"
            f" and {_mb(RESERVE_BYTES)} MB must stay so"
        )
    return None


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / MB:.1f}".removesuffix(".0")


def _names(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.exists() else []


def _size(directory: Path) -> int:
    if not directory.exists():
        return 0
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _make(directory: Path) -> None:
    """Make it and what it lies in, each name on disk."""
    if directory.is_dir():
        return
    _make(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UpdateError("disk", f"the store of bundles: {error.strerror or error}{where}") from error

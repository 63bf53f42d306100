"""The bundles on disk: complete ones in slots, which are named by their content, and unfinished downloads."""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from daemon.bundle.release import FILE_LIST_NAME, MAX_LISTING_BYTES, BundleFiles, FileEntry, parse_file_list
from daemon.core.errors import UpdateError
from daemon.core.files import (
    ForeignFile,
    check_own_directory,
    create_own_directory,
    open_own,
    read_own,
    remove,
    sync_directory,
)
from daemon.updates.metadata_cache import clean_cache
from daemon.updates.state import Slot
from daemon.updates.steps import Beat
from daemon.updates.taught_state import TaughtSlot

SLOTS = "slots"

# what was taught has slots of its own: a perceptd that knows nothing of it removes nothing there
TAUGHT = "taught"

log = logging.getLogger(__name__)

MB = 1024 * 1024

# stays free on the disk: queued events and the logs of other programs need room too
RESERVE_BYTES = 64 * MB

# the slowest boards hash this much in a tenth of a second
CHUNK_BYTES = 1024 * 1024


class Slots:
    """The directories of bundles. Methods raise UpdateError when the disk is full, read-only or damaged."""

    def __init__(self, directory: Path, quota_bytes: int, beside: Path | None = None) -> None:
        """All bundles below `directory`, and those in the slots below `beside`, may take `quota_bytes` together."""
        self._quota_bytes = quota_bytes
        self._beside = beside
        self._slots, self._downloads, self._trash = (directory / name for name in (SLOTS, "partial", "trash"))
        self.metadata = directory / "tuf"

    def slot(self, content: str) -> Path:
        """The directory of a complete bundle; it need not exist."""
        return self._slots / content

    def is_intact(self, content: str, beat: Beat) -> bool:
        """Whether the slot exists and all its files are correct."""
        try:
            check_integrity(self.slot(content), content, beat)
        except UpdateError:  # the slot is then written again
            return False
        return True

    def create(self) -> None:
        """Create the directories that do not exist yet."""
        self.create_slots()
        with _disk_errors():
            _create_own(self.metadata)
            for text in clean_cache(self.metadata):
                log.warning("%s", text)

    def create_slots(self) -> None:
        """Create the directories of the bundles, where they do not exist yet."""
        with _disk_errors():
            for directory in (self._slots, self._downloads):
                _create_own(directory)

    def create_download_dir(self, content: str) -> Path:
        """The directory into which a bundle is downloaded; it may contain files of an earlier attempt."""
        path = self._downloads / content
        with _disk_errors():
            _create_own(self._downloads)
            _create_own(path)
        return path

    def check_room(self, release: BundleFiles, required: Set[str]) -> None:
        """Raises UpdateError when the bundle has no room beside the contents that are required."""
        with _disk_errors():
            others = sum(_size(self.slot(content)) for content in required - {release.content})
            others += 0 if self._beside is None else _size(self._beside / SLOTS)
            missing = max(0, release.size - _size(self._downloads / release.content))
            status = os.statvfs(self._slots.parent)
        free = status.f_bavail * status.f_frsize
        if problem := room_problem(missing, free, others + release.size, self._quota_bytes):
            raise UpdateError("disk", problem)

    def promote(self, content: str) -> None:
        """Turn a finished download into a slot, and replace a damaged slot."""
        with _disk_errors():
            slot, download = self.slot(content), self._downloads / content
            if os.path.lexists(slot):
                self._discard(slot)
            download.rename(slot)
            sync_directory(self._slots)
            sync_directory(self._downloads)

    def remove_unused(self, required: Set[str]) -> None:
        """Remove all slots and downloads but the required ones.

        If no required content is being downloaded, the latest download stays: it may be continued.
        """
        with _disk_errors():
            for path in _children(self._slots):
                if path.name not in required:
                    self._discard(path)
            downloads = _children(self._downloads)
            if not any(path.name in required for path in downloads):
                downloads = sorted(downloads, key=_modified)[:-1]
            for path in downloads:
                if path.name not in required:
                    self._discard(path)
            self._empty_trash()

    def _discard(self, path: Path) -> None:
        # renamed first: a directory that is removed only in part must not look like a slot
        self._empty_trash()
        self._trash.mkdir(mode=0o700)
        path.rename(self._trash / path.name)
        sync_directory(path.parent)
        self._empty_trash()

    def _empty_trash(self) -> None:
        if os.path.lexists(self._trash):
            remove(self._trash)


def check_integrity(directory: Path, content: str, beat: Beat | None = None) -> None:
    """Check every file of a bundle; `content` is the hash of its listing, which has the hashes of its files.

    Raises UpdateError when a file is missing or damaged, and what `beat` raises.
    """
    try:
        check_own_directory(directory)
        for entry in _read_listing(directory / FILE_LIST_NAME, content):
            path = directory / entry.path
            if path.parent != directory:
                check_own_directory(path.parent)
            _check_file(path, entry, beat)
    except ForeignFile as error:
        raise UpdateError("disk", f"{error.filename} is damaged: it {error.strerror}") from error
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}"
        raise UpdateError("disk", f"{directory} is not complete: {reason}") from error


def slot_directory(models: Path, slot: Slot) -> Path:
    """The directory of a slot below `models`."""
    store = models / TAUGHT if isinstance(slot, TaughtSlot) else models
    return store / SLOTS / slot.content


def content_of(directory: Path, models: Path) -> str | None:
    """The content hash of an installed bundle, which names its slot below `models`; None for another directory."""
    return directory.name if directory.parent in (models / SLOTS, models / TAUGHT / SLOTS) else None


def room_problem(missing_bytes: int, free_bytes: int, total_bytes: int, quota_bytes: int) -> str | None:
    """Why a bundle has no room; None if it has.

    `missing_bytes` have still to be written; `total_bytes` is the size of all bundles afterwards.
    """
    if total_bytes > quota_bytes:
        return f"bundles would take {_mb(total_bytes)} MB, models.quota_mb is {_mb(quota_bytes)}"
    if free_bytes - missing_bytes < RESERVE_BYTES:
        return (
            f"{_mb(missing_bytes)} MB have to be written, {_mb(free_bytes)} MB are free,"
            f" and {_mb(RESERVE_BYTES)} MB must stay free"
        )
    return None


def _read_listing(path: Path, content: str) -> list[FileEntry]:
    text = read_own(path, MAX_LISTING_BYTES)
    if hashlib.sha256(text).hexdigest() != content:
        raise UpdateError("disk", f"{path} is damaged")
    try:
        return parse_file_list(text)
    except ValueError as error:
        raise UpdateError("disk", f"{path} is no list of files") from error


def _check_file(path: Path, entry: FileEntry, beat: Beat | None) -> None:
    digest, length = hashlib.sha256(), 0
    with open_own(path, entry.length) as file:
        while chunk := file.read(CHUNK_BYTES):
            if beat is not None:
                beat()
            digest.update(chunk)
            length += len(chunk)
    if length != entry.length or digest.hexdigest() != entry.sha256:
        raise UpdateError("disk", f"{path} is damaged")


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / MB:.1f}".removesuffix(".0")


def _children(directory: Path) -> list[Path]:
    try:
        check_own_directory(directory)
    except FileNotFoundError:
        return []
    return sorted(directory.iterdir())


def _modified(path: Path) -> float:
    return path.lstat().st_mtime


def _size(directory: Path) -> int:
    """The bytes of the plain files in a directory; links are not followed."""
    found = (path.lstat() for path in directory.rglob("*")) if directory.is_dir() else ()
    return sum(status.st_size for status in found if stat.S_ISREG(status.st_mode))


def _create_own(directory: Path) -> None:
    _create_durably(directory.parent)
    if (problem := create_own_directory(directory)) is not None:
        log.warning("%s %s: it was replaced", directory, problem)


def _create_durably(directory: Path) -> None:
    """Create the directory and its parents, and flush each new name to disk."""
    if directory.is_dir():
        return
    _create_durably(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Turns an OSError into an UpdateError."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UpdateError("disk", f"the directory of bundles: {error.strerror or error}{where}") from error

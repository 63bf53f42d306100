"""The pictures and clips of events, in files whose names are the numbers of their events."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from daemon.core.database import FILE_MODE
from daemon.core.errors import HistoryError
from daemon.core.files import ForeignFile, check_own_directory, open_own, remove, sync_directory
from daemon.core.versions import aside_of
from daemon.history.records import KeptEvent, Paths
from daemon.history.rows import MAX_FILE_BYTES

DATABASE = "history.db"
CLIPS = "clips"
PART = ".part"

# as `set_aside` of core/files.py names them
ASIDE = ".damaged"

Which = Literal["snapshot", "clip"]
ENDINGS: dict[Which, str] = {"snapshot": ".jpg", "clip": ".mp4"}

_NAME = re.compile(r"([0-9]{1,13})\.(jpg|mp4)(\.part)?")


def file_of(clips: Path, number: int, which: Which) -> Path:
    """Return the file of an event."""
    return clips / f"{number}{ENDINGS[which]}"


def part_of(clips: Path, number: int, which: Which) -> Path:
    """Return the file of an event while it is written."""
    return clips / f"{number}{ENDINGS[which]}{PART}"


def paths_of(clips: Path, number: int) -> Paths:
    """Return the files of an event while they are written."""
    return Paths(number, part_of(clips, number, "clip"), part_of(clips, number, "snapshot"))


def all_of(clips: Path, number: int) -> Iterator[Path]:
    """Yield every name that a file of an event may have."""
    for which in ENDINGS:
        yield file_of(clips, number, which)
        yield part_of(clips, number, which)


def remove_all(clips: Path, numbers: Iterable[int]) -> None:
    """Remove the files of events, also those that are being written. Raises OSError."""
    check_own_directory(clips)
    for number in numbers:
        for path in all_of(clips, number):
            _discard(path)


def _discard(path: Path) -> None:
    """Remove a file, if it is there, and whatever else has its name. Raises OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    except IsADirectoryError:
        remove(path)


def complete(clips: Path, events: Sequence[KeptEvent]) -> list[KeptEvent]:
    """Write the files of events that have ended to disk; return the events with what is truly there. Raises OSError."""
    found = [_complete(clips, event) for event in events]
    if found:
        sync_directory(clips)
    return found


def _complete(clips: Path, event: KeptEvent) -> KeptEvent:
    snapshot, clip = event.snapshot_bytes, event.clip
    if snapshot is not None:
        # it may have its name already, from when the event ended and its clip went on
        snapshot = _flushed(part_of(clips, event.number, "snapshot")) or _flushed(
            file_of(clips, event.number, "snapshot")
        )
    if clip is not None:
        size = _flushed(part_of(clips, event.number, "clip"))
        clip = None if size is None else replace(clip, size_bytes=size)
    return replace(event, snapshot_bytes=snapshot, clip=clip)


def _flushed(path: Path) -> int | None:
    """Write a file to disk; return its size, None where it is not there or is empty. Raises OSError."""
    try:
        with open_own(path, MAX_FILE_BYTES) as file:
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size or None
    except (FileNotFoundError, ForeignFile):
        return None


def name_files(clips: Path, events: Iterable[KeptEvent], with_open_clip: Collection[int] = ()) -> None:
    """Give the files of events that have ended their names. Raises OSError.

    A part that its event does not have goes, but for the clips of the events in `with_open_clip`, by their numbers.
    """
    for event in events:
        sizes = {"snapshot": event.snapshot_bytes, "clip": event.clip}
        for which in ENDINGS:
            part, file = part_of(clips, event.number, which), file_of(clips, event.number, which)
            if which == "clip" and event.number in with_open_clip:
                continue
            if sizes[which] is None:
                _discard(part)
            elif os.path.lexists(part):  # else an earlier try has named it
                try:
                    part.replace(file)
                except IsADirectoryError:
                    remove(file)
                    part.replace(file)


def remove_aside(directory: Path) -> None:
    """Remove what was set aside: a damaged index, and histories that a later version has written. Raises OSError."""
    for later in aside_of(directory):
        remove(later)
    for name in (DATABASE, CLIPS):
        aside = (directory / name).with_suffix(ASIDE)
        if os.path.lexists(aside):
            remove(aside)


def listed(clips: Path) -> tuple[set[str], list[str]]:
    """Return the names in a directory: files of events and their parts, and all others. Raises OSError."""
    files, others = set(), []
    with os.scandir(clips) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                files.add(entry.name)
            else:
                others.append(entry.name)
    return files, others


def open_file(clips: Path, event: KeptEvent, which: Which) -> int:
    """Return a descriptor for reading a file of an event. Raises HistoryError."""
    size = event.snapshot_bytes if which == "snapshot" else None if event.clip is None else event.clip.size_bytes
    if size is None:
        raise HistoryError("unknown", f"event {event.id} has no {which}")
    path = file_of(clips, event.number, which)
    try:
        check_own_directory(clips.parent)
        check_own_directory(clips)
        with open_own(path, size) as file:
            if (found := os.fstat(file.fileno()).st_size) != size:
                raise ForeignFile(path, f"has {found} bytes, expected {size}")
            return os.dup(file.fileno())
    except FileNotFoundError as error:
        raise HistoryError("unknown", f"the {which} of event {event.id} is not there any more") from error
    except ForeignFile as error:
        raise HistoryError("damaged", f"{path} is not the {which} of event {event.id}: it {error.strerror}") from error
    except OSError as error:
        raise HistoryError("disk", f"{path} cannot be read: {error.strerror}") from error

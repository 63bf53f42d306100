"""Gets past the locks that a killed process has left in what JACK's library shares.

PortAudio opens that library whenever it is initialised, and ALSA does, where it is installed; no JACK need run. It
keeps its clients' metadata in a database in /dev/shm, one for all processes of a user (jack2, JackMetadata.cpp). Its
locks outlive a process that is killed while it holds one: the next waits for ever, until somebody removes it.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.runtime.inside import leave

LOOK_S = 0.5
"""Such a lock is held for microseconds: who waits for the same one at two looks in a row waits for a dead one."""

MAPPED = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+) +(/\S*/jack_db[^/\s]*/__db\.\d+)")
"""A line of proc(5)'s maps: the files that hold the locks are memory of every process that uses them."""


@dataclass(frozen=True, slots=True)
class _Lock:
    """What a thread waits for: a word of memory, which is a file's."""

    address: int
    file: Path
    inode: int


@contextmanager
def locks_watched() -> Iterator[None]:
    """Until the block ends: when it waits for a lock of the dead, remove it, and let the process fail."""
    is_done = threading.Event()
    watch = threading.Thread(target=_watch, args=(threading.get_native_id(), is_done), name="locks", daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_done.set()
        watch.join()


def _watch(thread: int, is_done: threading.Event) -> None:
    before = None
    while not is_done.wait(LOOK_S):
        now = _awaited(thread)
        if now is not None and now == before:
            leave(f"a process was killed while it held a lock of JACK's library: {_remove(now)}")
        before = now


def _awaited(thread: int) -> _Lock | None:
    """The lock of the database that a thread of this process waits for, if it does."""
    call = Path(f"/proc/self/task/{thread}/syscall").read_text().split()  # "running", or number and arguments
    address = int(call[1], 16) if len(call) > 1 else 0
    for first, end, inode, file in MAPPED.findall(Path("/proc/self/maps").read_text()):
        if int(first, 16) <= address < int(end, 16):
            return _Lock(address, Path(file), int(inode))
    return None


def _remove(lock: _Lock) -> str:
    """Remove the files that hold the locks, as one does when all who used them are dead; tells what came of it."""
    try:
        if lock.file.stat().st_ino == lock.inode:
            for file in lock.file.parent.glob("__db.*"):
                file.unlink(missing_ok=True)
    except FileNotFoundError:
        pass  # another who waits has removed them
    except OSError as error:
        return f"{error.filename} cannot be removed ({error.strerror}), so do it yourself"
    return f"{lock.file.parent}/__db.* removed; the next try gets past it"

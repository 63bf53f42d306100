"""Gets past the locks that a killed process has left in what JACK's library shares.

PortAudio opens that library whenever it is initialised, and ALSA does, where it is installed; no JACK need run. It
keeps its clients' metadata in a database in /dev/shm, one for all processes of a user (jack2, JackMetadata.cpp). Its
locks outlive a process that is killed while it holds one: the next waits for ever, until the machine is restarted.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.runtime.inside import leave

LOOK_S = 1.0
"""A process has the database open for milliseconds, for some more where a JACK runs; one that has it at two looks in a
row waits for a dead one."""

REGION = re.compile(r"/\S*/jack_db[^/\s]*/__db\.\d+")
"""The files that hold the locks are memory of every process that uses them."""


@contextmanager
def locks_watched() -> Iterator[None]:
    """Until the block ends: when it waits for a lock of the dead, remove it, and let the process fail."""
    is_done = threading.Event()
    watch = threading.Thread(target=_watch, args=(is_done,), name="locks", daemon=True)
    watch.start()
    try:
        yield
    finally:
        is_done.set()
        watch.join()


def _watch(is_done: threading.Event) -> None:
    before = set[str]()
    while not is_done.wait(LOOK_S):
        now = _regions()
        if now & before:
            leave(f"a process was killed while it held a lock of JACK's library: {_remove(now)}")
        before = now


def _regions() -> set[str]:
    return set(REGION.findall(Path("/proc/self/maps").read_text()))


def _remove(regions: set[str]) -> str:
    """Remove all of the databases' files of that kind, as those of a dead one; tells what came of it."""
    homes = sorted({Path(region).parent for region in regions})
    try:
        for home in homes:
            for file in home.glob("__db.*"):
                file.unlink(missing_ok=True)
    except OSError as error:
        return f"{error.filename} cannot be removed ({error.strerror}), so do it yourself"
    return ", ".join(f"{home}/__db.* removed" for home in homes) + "; the next try gets past it"

"""Which source a PulseAudio or PipeWire server has given this process: the one door to pulsectl.

Such a server moves a stream to another source when its own goes, and says nothing to who reads it.
"""

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.runtime.child_main import Failed, exit_with_reason

NO_INDEX = 0xFFFF_FFFF
"""PA_INVALID_INDEX of pulse/def.h: a source that is no sink's monitor has it as its sink's number."""

CLIENT = "perceptd"


@dataclass(frozen=True, slots=True)
class ServedSource:
    """A source of the server. A monitor is what the machine itself plays."""

    name: str
    is_monitor: bool
    channels: int
    sample_rate_hz: int


class SoundServer:
    """A connection of its own to the server."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def sources(self) -> Sequence[ServedSource]:
        """All there are."""
        return [_described(source) for source in self._connection.source_list()]

    def ours(self) -> ServedSource | None:
        """The source that this process records from, or None when it records from none through this server."""
        pid = str(os.getpid())
        numbers = {
            output.source
            for output in self._connection.source_output_list()
            if output.proplist.get("application.process.id") == pid
        }
        found = [_described(source) for source in self._connection.source_list() if source.index in numbers]
        return found[0] if found else None


@contextmanager
def sound_server() -> Iterator[SoundServer | None]:
    """The server of this session, or None where there is none, as for a system service with plain ALSA.

    Raises Failed when it goes while it is used.
    """
    try:
        import pulsectl
    except (ImportError, OSError):  # without libpulse there is no server either
        yield None
        return
    connection = pulsectl.Pulse(CLIENT, connect=False)
    try:
        connection.connect(autospawn=False)
    except pulsectl.PulseError:
        yield None
        return
    with connection:
        try:
            yield SoundServer(connection)
        except (pulsectl.PulseError, pulsectl.PulseDisconnected) as error:  # the one is not the other's kind
            raise Failed("the sound server has gone") from error


def _described(source: Any) -> ServedSource:
    spec = source.sample_spec
    return ServedSource(source.name, source.monitor_of_sink != NO_INDEX, spec.channels, spec.rate)


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
            exit_with_reason(f"a process was killed while it held a lock of JACK's library: {_remove(now)}")
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

"""The source that a PulseAudio or PipeWire server gives this process, and locks that killed processes leave in JACK.

A sound server moves a stream to another source when its source disappears, and does not tell the reader.
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

# PA_INVALID_INDEX of pulse/def.h. A source that is no monitor of a sink has it as the number of its sink.
NO_INDEX = 0xFFFF_FFFF

CLIENT_NAME = "perceptd"

# JACK's library holds a lock for microseconds. A thread that waits for the same lock at two checks waits for ever.
CHECK_LOCK_S = 0.5

# A line of /proc/PID/maps (proc(5)) that maps a file of JACK's database. The locks are in these files.
JACK_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ (\d+) +(/\S*/jack_db[^/\s]*/__db\.\d+)")


@dataclass(frozen=True, slots=True)
class ServerSource:
    """A source of the sound server. A monitor is the sound that the machine itself plays.

    `description` is its name for people.
    """

    name: str
    is_monitor: bool
    channels: int
    sample_rate_hz: int
    description: str


class SoundServer:
    """A connection to the sound server."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def sources(self) -> Sequence[ServerSource]:
        """Return all sources of the server."""
        return [_server_source(source) for source in self._connection.source_list()]

    @property
    def default_source(self) -> str:
        """Return the name of the source that a program gets which names none."""
        return str(self._connection.server_info().default_source_name)

    def current_source(self) -> ServerSource | None:
        """Return the source that this process records from, or None if it does not record through this server."""
        pid = str(os.getpid())
        numbers = {
            output.source
            for output in self._connection.source_output_list()
            if output.proplist.get("application.process.id") == pid
        }
        found = [_server_source(source) for source in self._connection.source_list() if source.index in numbers]
        return found[0] if found else None


@contextmanager
def sound_server() -> Iterator[SoundServer | None]:
    """Connect to the sound server of this session. Gives None without one, as in a system service with plain ALSA.

    Raises Failed when the server ends before the block does.
    """
    try:
        import pulsectl
    except (ImportError, OSError):  # libpulse is missing, and so is the server
        yield None
        return
    connection = pulsectl.Pulse(CLIENT_NAME, connect=False)
    try:
        connection.connect(autospawn=False)
    except pulsectl.PulseError:
        yield None
        return
    with connection:
        try:
            yield SoundServer(connection)
        except (pulsectl.PulseError, pulsectl.PulseDisconnected) as error:  # they have no common base class
            raise Failed("the sound server has ended") from error


@contextmanager
def jack_locks_watched() -> Iterator[None]:
    """Watch the block for a wait on a lock of a killed process. Then remove the lock and end this process."""
    is_done = threading.Event()
    watch = threading.Thread(
        target=_watch_locks, args=(threading.get_native_id(), is_done), name="jack-locks", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        is_done.set()
        watch.join()


def _server_source(source: Any) -> ServerSource:
    spec = source.sample_spec
    is_monitor = source.monitor_of_sink != NO_INDEX
    return ServerSource(source.name, is_monitor, spec.channels, spec.rate, source.description)


@dataclass(frozen=True, slots=True)
class _Lock:
    """A lock that a thread waits for: an address in memory that is mapped from a file."""

    address: int
    file: Path
    inode: int


def _watch_locks(thread: int, is_done: threading.Event) -> None:
    before = None
    while not is_done.wait(CHECK_LOCK_S):
        try:
            now = _awaited_lock(thread)
        except OSError:  # the thread has ended, or there is no descriptor now
            continue
        if now is not None and now == before:
            exit_with_reason(f"a killed process has left a lock in JACK's library: {_remove(now)}")
        before = now


def _awaited_lock(thread: int) -> _Lock | None:
    """Return the lock of JACK's database that a thread of this process waits for, or None."""
    call = Path(f"/proc/self/task/{thread}/syscall").read_text().split()  # "running", or number and arguments
    address = int(call[1], 16) if len(call) > 1 else 0
    for first, end, inode, file in JACK_MAPPING.findall(Path("/proc/self/maps").read_text()):
        if int(first, 16) <= address < int(end, 16):
            return _Lock(address, Path(file), int(inode))
    return None


def _remove(lock: _Lock) -> str:
    """Remove the files that hold the locks. Return the outcome for the message."""
    try:
        if lock.file.stat().st_ino == lock.inode:
            for file in lock.file.parent.glob("__db.*"):
                file.unlink(missing_ok=True)
    except FileNotFoundError:
        pass  # another waiting process has removed them
    except OSError as error:
        return f"{error.filename} cannot be removed ({error.strerror}); remove it yourself"
    return f"{lock.file.parent}/__db.* is removed, and the next attempt can open the microphone"

"""Which source a PulseAudio or PipeWire server has given this process: the one door to pulsectl.

Such a server moves a stream to another source when its own goes, and says nothing to who reads it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from daemon.runtime.inside import Failed

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

"""A decoder of hardware that this machine does not have, and the start of one."""

from collections.abc import Callable, Iterator

import av

from daemon.core.errors import ChildError
from daemon.sources.container import Packet
from daemon.sources.decoding.ways import Way


class ScriptedHardware:
    """Implements `Hardware` with FFmpeg's software decoder. `fails_at` are the calls of decode that fail, from 1."""

    def __init__(self, codec: str, *, ready: Iterator[bool], fails_at: Callable[[int], bool]) -> None:
        self._context = av.CodecContext.create(codec, "r")
        self._context.thread_count = 1
        self._ready = ready
        self._fails_at = fails_at
        self.calls = 0
        self.corrupt = 0
        self.is_closed = False

    def is_ready(self) -> bool:
        return next(self._ready)

    def decode(self, packet: Packet) -> list[av.VideoFrame]:
        self.calls += 1
        if self._fails_at(self.calls):
            raise ChildError("its process was ended by SIGSEGV")
        return self._context.decode(packet)

    def finish(self) -> list[av.VideoFrame]:
        pictures = self._context.decode(None)
        self._context.flush_buffers()
        return pictures

    def close(self) -> None:
        self.is_closed = True


class ScriptedStart:
    """Implements `Start`. `absent` has the ways that are not there, `refused` those whose clip fails."""

    def __init__(
        self, *, absent: tuple[str, ...] = (), refused: tuple[str, ...] = (), fails_at: Callable[[int], bool]
    ) -> None:
        self._absent = absent
        self._refused = refused
        self._fails_at = fails_at
        self.started: list[tuple[str, ScriptedHardware]] = []

    def absence(self, codec: str, way: Way) -> str | None:
        return "there is none" if way.name in self._absent else None

    def start(self, codec: str, way: Way, extradata: bytes | None) -> ScriptedHardware:
        ready = _refusing() if way.name in self._refused else iter([False, *[True] * 9])
        hardware = ScriptedHardware(codec, ready=ready, fails_at=self._fails_at)
        self.started.append((way.name, hardware))
        return hardware


def _refusing() -> Iterator[bool]:
    raise ChildError("its picture 0 differs by 90.0 levels from that of the software")
    yield

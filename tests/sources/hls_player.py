"""Plays HLS streams for tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest

from daemon.config.streams import CameraConfig
from daemon.core.errors import SourceError
from daemon.core.records import Captured, Frame
from daemon.core.timing import monotonic_ns
from daemon.runtime.supervisor import SupervisedSource
from daemon.sources.hls.camera import HlsCamera
from daemon.sources.picture import PicturePreparation
from tests.helpers.hls import number_of
from tests.helpers.recorded import DEADLINE_S, RATE_HZ, Recorded

TIMEOUT_S = 1.0

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"


@dataclass
class Played(Recorded):
    """What a camera has delivered, and when."""

    at_ns: list[int] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def camera(self, url: str, *, sound: bool = True) -> HlsCamera:
        picture = PicturePreparation(CameraConfig(device=url))
        rate_hz, take = RATE_HZ if sound else None, self.take_packet
        return HlsCamera(url, self.counters, picture, rate_hz, read_timeout_s=TIMEOUT_S, packets=take)

    def take(self, item: Captured) -> None:
        with self.changed:
            super().take(item)
            if isinstance(item, Frame):
                self.at_ns.append(monotonic_ns())
            self.changed.notify_all()

    @property
    def numbers(self) -> list[int]:
        return [number_of(frame) for frame in self.frames]

    def until(self, url: str, is_enough: Callable[["Played"], bool], *, sound: bool = True) -> "Played":
        """Run once, until enough was played or the source ends."""
        self.run_source(self.camera(url, sound=sound), partial(is_enough, self), threading.Event())
        return self

    def wait_for(self, is_reached: Callable[["Played"], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: is_reached(self), DEADLINE_S), f"only {len(self.frames)} pictures"


@contextmanager
def supervised(played: Played, url: str) -> Iterator[SupervisedSource]:
    """Run a camera, again after each failure, until the block ends."""
    source = SupervisedSource("camera", played.camera(url), played.take, on_change=lambda: None)
    source.start()
    try:
        yield source
    finally:
        source.request_stop()
        assert source.join(60)


def failing(url: str, *, sound: bool = False) -> str:
    """Return the message of the error with which a stream ends."""
    with pytest.raises(SourceError) as caught:
        Played().until(url, lambda played: False, sound=sound)
    assert caught.value.__cause__ is None
    return str(caught.value)


def pictures(count: int) -> Callable[[Played], bool]:
    return lambda played: len(played.frames) >= count

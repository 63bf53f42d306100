"""Plays HLS streams for tests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from daemon.config.streams import CameraConfig
from daemon.core.errors import SourceError
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.supervisor import SupervisedSource
from daemon.sources.hls.camera import HlsCamera
from daemon.sources.picture import PicturePreparation
from tests.helpers.hls import number_of

RATE_HZ = 16_000
TIMEOUT_S = 1.0
DEADLINE_S = 20.0

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n"


@dataclass
class Played:
    """What a camera has delivered, and when."""

    counters: dict[Modality, Counters] = field(default_factory=dict)
    frames: list[Frame] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.counters = {modality: Counters() for modality in MODALITIES}

    def camera(self, url: str, *, sound: bool = True) -> HlsCamera:
        picture = PicturePreparation(CameraConfig(device=url))
        return HlsCamera(url, self.counters, picture, RATE_HZ if sound else None, read_timeout_s=TIMEOUT_S)

    def take(self, item: Captured) -> None:
        with self.changed:
            if isinstance(item, Frame):
                self.frames.append(item)
                self.at_ns.append(monotonic_ns())
            elif isinstance(item, Block):
                self.blocks.append(item)
            self.changed.notify_all()

    @property
    def numbers(self) -> list[int]:
        return [number_of(frame) for frame in self.frames]

    def until(self, url: str, is_enough: Callable[["Played"], bool], *, sound: bool = True) -> "Played":
        """Run once, until enough was played or the source ends."""
        stop = threading.Event()
        deadline_ns = monotonic_ns() + int(DEADLINE_S * NS_PER_S)

        def deliver(item: Captured) -> None:
            self.take(item)
            if is_enough(self) or monotonic_ns() > deadline_ns:
                stop.set()

        self.camera(url, sound=sound).run(deliver, stop)
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
        assert source.join(5.0)


def failing(url: str, *, sound: bool = False) -> str:
    """Return the message of the error with which a stream ends."""
    with pytest.raises(SourceError) as caught:
        Played().until(url, lambda played: False, sound=sound)
    assert caught.value.__cause__ is None
    return str(caught.value)


def pictures(count: int) -> Callable[[Played], bool]:
    return lambda played: len(played.frames) >= count

"""Runs a network camera, and records what it delivers."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.records import Block, Captured, Frame
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.factory import build_sources
from daemon.sources.network.camera import NetworkCamera
from tests.helpers.recorded import DEADLINE_S, RATE_HZ, Recorded


class Watch(Recorded):
    """Runs a camera until `is_enough` returns true. Records its frames and blocks, and the age of each on delivery."""

    def __init__(
        self,
        url: str,
        *,
        sound: bool = True,
        fps: float | None = None,
        transport: Literal["auto", "tcp", "udp"] = "auto",
        deadline_s: float = DEADLINE_S,
        wait_s: float | None = None,
    ) -> None:
        """`wait_s`: how long the camera waits for an answer and for the first picture."""
        super().__init__()
        microphone = MicrophoneConfig(device="camera") if sound else None
        stream = StreamConfig(camera=CameraConfig(device=url, fps=fps, transport=transport), microphone=microphone)
        sources = build_sources(stream, sample_rate_hz=RATE_HZ, picture=True, counters=self.counters)
        assert list(sources) == ["camera"]
        self._deadline_s = deadline_s
        self.has_sound = sound
        self.camera = sources["camera"]
        if wait_s is not None:
            assert isinstance(self.camera, NetworkCamera)
            self.camera = replace(self.camera, read_timeout_s=wait_s, first_picture_s=wait_s)
        self.frame_ages_ns: list[int] = []
        self.block_ages_ns: list[int] = []
        self.began_ns = self.latest_ns = 0

    @property
    def ages_ns(self) -> list[int]:
        return self.frame_ages_ns + self.block_ages_ns

    @property
    def elapsed_s(self) -> float:
        """Seconds since the camera was opened."""
        return (monotonic_ns() - self.began_ns) / NS_PER_S

    def take(self, item: Captured) -> None:
        super().take(item)
        self.latest_ns = monotonic_ns()
        if isinstance(item, Frame):
            self.frame_ages_ns.append(self.latest_ns - item.captured_ns)
        elif isinstance(item, Block):
            self.block_ages_ns.append(self.latest_ns - item.end_ns)

    def until(self, is_enough: Callable[["Watch"], bool]) -> "Watch":
        self.began_ns = monotonic_ns()
        self.run_source(self.camera, partial(is_enough, self), threading.Event(), self._deadline_s)
        return self

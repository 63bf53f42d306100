"""Runs a network camera, and records what it delivers."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.factory import build_sources
from daemon.sources.network.camera import NetworkCamera

RATE_HZ = 16_000
DEADLINE_S = 20.0


class Watch:
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
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
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
        self.frames: list[Frame] = []
        self.blocks: list[Block] = []
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

    def until(self, is_enough: Callable[["Watch"], bool]) -> "Watch":
        stop = threading.Event()
        self.began_ns = monotonic_ns()

        def deliver(item: Captured) -> None:
            self.latest_ns = monotonic_ns()
            if isinstance(item, Frame):
                self.frames.append(item)
                self.frame_ages_ns.append(self.latest_ns - item.captured_ns)
            elif isinstance(item, Block):
                self.blocks.append(item)
                self.block_ages_ns.append(self.latest_ns - item.end_ns)
            if is_enough(self) or self.elapsed_s > self._deadline_s:
                stop.set()

        self.camera.run(deliver, stop)
        return self

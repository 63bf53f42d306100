"""Runs the source of a configured camera in the thread of a test, and records what it delivers."""

import threading
from collections.abc import Callable

from daemon.config.streams import StreamConfig
from daemon.core.records import MODALITIES, Block, Captured, Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.factory import build_sources

DEADLINE_S = 20.0


class CameraRun:
    """A camera with these keys of config.yaml. `run` may be called again, as the supervisor does after a failure."""

    def __init__(self, url: str, *, sound: bool = False, picture: bool = True, **camera: object) -> None:
        self.counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
        config: dict[str, object] = {"camera": {"device": url, **camera}}
        if sound:
            config["microphone"] = {"device": "camera"}
        stream = StreamConfig.model_validate(config)
        self.source = build_sources(
            stream, sample_rate_hz=16_000 if sound else None, picture=picture, counters=self.counters
        )["camera"]
        self.frames: list[Frame] = []
        self.blocks: list[Block] = []
        self.stop = threading.Event()

    @property
    def shades(self) -> list[int]:
        """Return the mean luma of each frame, to the nearest ten."""
        return [round(float(frame.planes[0].mean()), -1) for frame in self.frames]

    @property
    def corrupt(self) -> int:
        return self.counters["image"].dropped.get("corrupt", 0)

    def run(self, is_enough: Callable[["CameraRun"], bool]) -> "CameraRun":
        """Run until `is_enough` or the deadline."""
        self.stop = threading.Event()
        deadline_ns = monotonic_ns() + int(DEADLINE_S * NS_PER_S)

        def deliver(item: Captured) -> None:
            if isinstance(item, Frame):
                self.frames.append(item)
            elif isinstance(item, Block):
                self.blocks.append(item)
            if is_enough(self) or monotonic_ns() > deadline_ns:
                self.stop.set()

        self.source.run(deliver, self.stop)
        return self

    def pictures(self, count: int) -> "CameraRun":
        """Run until so many pictures have come."""
        return self.run(lambda run: len(run.frames) >= count)

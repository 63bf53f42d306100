"""Runs the source of a configured camera in the thread of a test, and records what it delivers."""

import threading
from collections.abc import Callable
from functools import partial

from daemon.config.streams import StreamConfig
from daemon.sources.factory import build_sources
from tests.helpers.recorded import RATE_HZ, Recorded


class CameraRun(Recorded):
    """A camera with these keys of config.yaml. `run` may be called again, as the supervisor does after a failure."""

    def __init__(self, url: str, *, sound: bool = False, picture: bool = True, **camera: object) -> None:
        super().__init__()
        config: dict[str, object] = {"camera": {"device": url, **camera}}
        if sound:
            config["microphone"] = {"device": "camera"}
        stream = StreamConfig.model_validate(config)
        self.source = build_sources(
            stream,
            sample_rate_hz=RATE_HZ if sound else None,
            picture=picture,
            counters=self.counters,
            packets=self.take_packet,
        )["camera"]
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
        self.run_source(self.source, partial(is_enough, self), self.stop)
        return self

    def pictures(self, count: int) -> "CameraRun":
        """Run until so many pictures have come."""
        return self.run(lambda run: len(run.frames) >= count)

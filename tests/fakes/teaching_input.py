"""The live streams of a node that has no streams: what is shown is given by a test."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from daemon.core.errors import InputError
from daemon.core.timing import NS_PER_S
from daemon.node.teaching_input import Lateness, Shown, TaughtOnto
from daemon.pipeline.recent import Window
from daemon.pipeline.showing import Showing
from daemon.teaching.records import Peak, StoredMoment
from tests.helpers.taught import on_streams

EAR, EYE = "ear", "eye"
ENCODERS = {EAR: "a" * 64, EYE: "b" * 64}
HOME = TaughtOnto(
    id="home@1.0.0",
    base="home@1.0.0",
    number=0,
    directory=Path("/bundles/home"),
    encoders=ENCODERS,
    modalities={EAR: "audio", EYE: "image"},
    fixed_labels=frozenset({"speech", "none"}),
    taught_labels={},
)
RATE_HZ = 16_000


class FakeInput:
    """Implements TeachingInput. Every interval shows another sound and another picture, unless `silent`."""

    def __init__(self, *streams: str, bundle: TaughtOnto = HOME) -> None:
        self.streams = frozenset(streams or ("kitchen",))
        self.bundle = bundle
        self.text_alone: frozenset[str] = frozenset()
        self.sample_rate_hz: int | None = RATE_HZ
        self.paused: set[str] = set()
        self.events: dict[str, frozenset[str]] = {}
        self.peaks: list[Peak] = []
        self.ended: list[Peak] = []
        self.near: list[Peak] = []
        self.late = Lateness()
        self.newest: int | None = None
        self.windows: list[tuple[str, float]] = []
        self.again: list[Window] = []
        self.is_silent = self.is_slow = self.is_same = False
        self._rng = np.random.default_rng(22)
        self._latest: Shown | None = None

    def switch(self, *taught: str, **changes: object) -> None:
        """Let another bundle become active, with these taught labels in all streams."""
        labels = dict.fromkeys(taught, on_streams(*sorted(self.streams)))
        self.bundle = replace(self.bundle, taught_labels=labels, **changes)

    def fix(self, *labels: str, groups: tuple[str, ...] = ()) -> None:
        """Let a bundle become active that was published with these labels and groups of states."""
        fixed = HOME.fixed_labels | set(labels)
        self.bundle = replace(self.bundle, fixed_labels=fixed, fixed_groups=frozenset(groups))

    def is_paused(self, stream: str) -> bool:
        return stream in self.paused

    def newest_ns(self, stream: str) -> int | None:
        return self.newest

    def lateness(self, stream: str) -> Lateness:
        return self.late

    def open_labels(self, stream: str) -> frozenset[str]:
        return self.events.get(stream, frozenset())

    def open_peaks(self) -> list[Peak]:
        return list(self.peaks)

    def ended_peaks(self) -> list[Peak]:
        ended, self.ended = self.ended, []
        return ended

    def near_misses(self) -> list[Peak]:
        near, self.near = self.near, []
        return near

    def show(self, stream: str, start_ns: int, end_ns: int) -> Shown:
        self.windows.append((stream, (end_ns - start_ns) / NS_PER_S))
        if self.is_slow:
            raise InputError("the encoders have not finished in time")
        if not self.is_same or self._latest is None:
            self._latest = Shown(self._showing(), self.bundle.encoders)
        return self._latest

    def show_again(self, window: Window) -> Shown:
        self.again.append(window)
        return Shown(self._showing(), self.bundle.encoders)

    def _showing(self) -> Showing:
        moments = [
            StoredMoment(
                time_ms, {name: self._rng.normal(size=4).astype(np.float32) for name in sorted(self.bundle.encoders)}
            )
            for time_ms in (500, 1000)
        ]
        sound = np.zeros(RATE_HZ, np.float32) if self.is_silent else self._rng.uniform(-0.5, 0.5, RATE_HZ)
        frames = [self._rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(2)]
        if self.is_silent:
            frames = [np.zeros((48, 64, 3), np.uint8)] * 2
        return Showing(moments, frames[0], frames, sound.astype(np.float32), RATE_HZ)

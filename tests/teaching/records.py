"""Examples and moments for tests of teaching."""

import numpy as np

from daemon.core.records import Array
from daemon.teaching.records import BackgroundMoment, Example, Peak, StoredMoment, WrongMoment

MADE_BY = {"audio": "b" * 64, "image": "a" * 64}


def vectors(seed: int = 0, length: int = 8) -> dict[str, Array]:
    chance = np.random.default_rng(seed)
    return {name: chance.standard_normal(length).astype(np.float32) for name in MADE_BY}


def example(name: str = "e1", label: str = "kettle boils", stream: str = "kitchen", **changes: object) -> Example:
    known: dict[str, object] = {
        "id": name,
        "label": label,
        "stream": stream,
        "taken_s": 1_700_000_000.0,
        "origin": "press",
        "encoders": MADE_BY,
        "moments": [StoredMoment(0, vectors(1)), StoredMoment(500, vectors(2))],
    }
    return Example(**(known | changes))  # type: ignore[arg-type]


def background(stream: str = "kitchen", taken_s: float = 1_700_000_000.0, seed: int = 3) -> BackgroundMoment:
    return BackgroundMoment(stream, taken_s, MADE_BY, vectors(seed))


def wrong(label: str = "kettle boils", stream: str = "kitchen") -> WrongMoment:
    return WrongMoment(label, stream, 1_700_000_000.0, MADE_BY, vectors(4), (vectors(6), vectors(7)))


def peak(event: str = "event1", label: str = "kettle boils", taken_s: float = 1_700_000_000.0) -> Peak:
    return Peak(event, label, "kitchen", taken_s, 0.75, MADE_BY, vectors(5), (vectors(6),))


def same(first: object, second: object) -> bool:
    """Whether two records are the same, number for number."""
    return repr(first) == repr(second)

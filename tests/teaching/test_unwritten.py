"""Background and peaks wait, so that many of them are one commit."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import TeachingError
from daemon.core.records import Counters
from daemon.teaching.records import BackgroundMoment, Peak
from daemon.teaching.store import TeachingStore
from daemon.teaching.unwritten import MOST, WRITE_EVERY_NS, Unwritten

ENCODERS = {"ear": "sha256:1"}
VECTORS = {"ear": np.ones(3, np.float32)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TeachingStore]:
    made = TeachingStore(tmp_path / "teaching.db", now=lambda: 2e9)
    yield made
    made.close()


def moment(number: int = 0, encoders: dict[str, str] = ENCODERS) -> BackgroundMoment:
    return BackgroundMoment("hall", 2e9 + number, encoders, VECTORS)


def stored(store: TeachingStore) -> int:
    return store.background_counts(ENCODERS).get("hall", 0)


def test_they_are_stored_together_after_an_hour_or_when_they_are_many(store: TeachingStore) -> None:
    waiting = Unwritten(Counters())
    waiting.add_background(moment())
    waiting.add_peak(Peak("e1", "dog", "hall", 2e9, 0.5, ENCODERS, VECTORS))
    for at_ns, expected in ((5, 0), (WRITE_EVERY_NS, 0), (WRITE_EVERY_NS + 5, 1)):
        waiting.write_due(store, at_ns, is_urgent=False)
        assert stored(store) == expected
    assert store.peak("e1") is not None
    for number in range(MOST):
        assert stored(store) == 1
        waiting.add_background(moment(number))
        waiting.write_due(store, WRITE_EVERY_NS + 10, is_urgent=False)
    assert stored(store) == 1 + MOST


def test_at_a_new_place_they_are_stored_at_once(store: TeachingStore) -> None:
    waiting = Unwritten(Counters())
    waiting.add_background(moment())
    waiting.write_due(store, 0, is_urgent=True)
    assert stored(store) == 1


def test_what_waits_is_counted_with_what_is_stored() -> None:
    waiting = Unwritten(Counters())
    waiting.add_background(moment())
    waiting.add_background(moment(1, {"ear": "sha256:other"}))
    assert waiting.counts(ENCODERS, {"hall": 5, "yard": 1}) == {"hall": 6, "yard": 1}


def test_what_is_invalid_is_counted_and_the_rest_is_stored(store: TeachingStore) -> None:
    counters = Counters()
    waiting = Unwritten(counters)
    waiting.add_background(moment())
    waiting.add_peak(Peak("e1", "", "hall", 2e9, 0.5, ENCODERS, VECTORS))  # without a label
    waiting.write(store)
    assert counters.dropped == {"peak": 1}
    assert stored(store) == 1


def test_what_the_disk_refuses_is_counted_and_waits_no_longer(store: TeachingStore, tmp_path: Path) -> None:
    counters = Counters()
    waiting = Unwritten(counters)
    waiting.add_background(moment())
    waiting.add_background(moment(1))
    with closing(TeachingStore(tmp_path / "teaching.db", read_only=True)) as other, pytest.raises(TeachingError):
        waiting.write(other)
    assert counters.dropped == {"background": 2}
    waiting.write(store)
    assert stored(store) == 0

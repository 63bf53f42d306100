"""Statistics of the latest seconds, by a table and by a property."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Embedding
from daemon.fusion.pool import MAX_NUMBERS, MAX_POOLED, Pool, PoolSettings

MS = 1_000_000
BOTH = PoolSettings(1000 * MS, ["mean", "max"])


def embedding(end_ms: int, *numbers: float, encoder: str = "scene") -> Embedding:
    return Embedding(encoder, np.array(numbers, np.float32), end_ms * MS, end_ms * MS)


def pooled(settings: PoolSettings, *ends_and_numbers: tuple[int, float]) -> list[list[float]]:
    pool = Pool({"scene": settings})
    return [pool.add(embedding(end_ms, number)).vector.tolist() for end_ms, number in ends_and_numbers]


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (["mean", "max"], [[4, 4, 4], [0, 2, 4], [-1, 1, 4], [4, 1, 4]]),
        (["max", "mean"], [[4, 4, 4], [0, 4, 2], [-1, 4, 1], [4, 4, 1]]),
        (["max"], [[4, 4], [0, 4], [-1, 4], [4, 4]]),
        (["mean"], [[4, 4], [0, 2], [-1, 1], [4, 1]]),
    ],
)
def test_what_is_appended_is_taken_over_the_latest_second(
    of: list[Literal["mean", "max"]], expected: list[list[float]]
) -> None:
    """At 1500 ms the embedding of 500 ms is a second old, and counts no more."""
    assert pooled(PoolSettings(1000 * MS, of), (500, 4), (600, 0), (1499, -1), (1500, 4)) == expected


def test_each_output_has_its_own_statistics_and_each_encoder_its_own_seconds() -> None:
    pool = Pool({"scene": BOTH, "people": PoolSettings(100 * MS, ["max"])})
    pool.add(embedding(0, 1, 8))
    pool.add(embedding(0, 9, encoder="people"))
    assert pool.add(embedding(500, 3, 2)).vector.tolist() == [3, 2, 2, 5, 3, 8]
    assert pool.add(embedding(500, 5, encoder="people")).vector.tolist() == [5, 5]
    plain = embedding(500, 7, encoder="sound")
    assert pool.add(plain) is plain, "an encoder without pool stays as it is"


def test_nothing_else_of_an_embedding_changes() -> None:
    made = Embedding("scene", np.ones(2, np.float32), 3, 7, "edgetpu", 5)
    found = Pool({"scene": BOTH}).add(made)
    assert (found.encoder, found.start_ns, found.end_ns, found.device, found.taken_ns) == ("scene", 3, 7, "edgetpu", 5)
    assert found.vector.dtype == np.float32


def test_an_embedding_that_was_overtaken_changes_nothing_of_later_ones() -> None:
    pool = Pool({"scene": BOTH})
    pool.add(embedding(1000, 2))
    assert pool.add(embedding(900, 100)).vector.tolist() == [100, 100, 100]
    assert pool.add(embedding(1100, 4)).vector.tolist() == [4, 3, 4]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_does_not_count_for_later_ones(number: float) -> None:
    found = pooled(BOTH, (0, 1), (100, number), (200, 3))
    assert not np.isfinite(found[1]).all()
    assert found[2] == [3, 2, 3]


def test_few_long_embeddings_count() -> None:
    """A bundle may have an encoder of 20,000 numbers, and pool it over a minute."""
    pool, vector = Pool({"scene": PoolSettings(60_000 * MS, ["max"])}), np.zeros(20_000, np.float32)
    most = MAX_NUMBERS // vector.size
    pool.add(Embedding("scene", np.ones_like(vector), 0, 0))
    found = [pool.add(Embedding("scene", vector, end, end)).vector[-1] for end in range(1, most + 1)]
    assert found == [1] * (most - 1) + [0]


def test_it_forgets_and_its_memory_is_bounded() -> None:
    pool = Pool({"scene": PoolSettings(60_000 * MS, ["max"])})
    pool.add(embedding(0, 9))
    pool.forget()
    assert pool.add(embedding(1, 2)).vector.tolist() == [2, 2]
    for _ in range(MAX_POOLED):
        found = pool.add(embedding(1, 1)).vector.tolist()
    assert found == [1, 1], "the oldest makes room"


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(-9, 9)), min_size=1, max_size=30))
def test_it_equals_the_formula(steps: list[tuple[int, int]]) -> None:
    ends = np.cumsum([wait for wait, _ in steps]).tolist()
    numbers = [number for _, number in steps]
    found = pooled(BOTH, *zip(ends, numbers, strict=True))
    for index, end in enumerate(ends):
        window = [numbers[at] for at in range(index + 1) if end - ends[at] < 1000]
        np.testing.assert_allclose(found[index], [numbers[index], np.mean(window), max(window)], rtol=1e-5, atol=1e-6)

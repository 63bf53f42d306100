"""Alignment, by tables and by properties."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Embedding, Modality
from daemon.fusion.align import Alignment, AlignmentSettings, advance, deliver, next_due_ns

MS = 1_000_000
SETTINGS = AlignmentSettings({"image": 100 * MS, "audio": 300 * MS, "text": 1000 * MS}, min_interval_ns=10 * MS)


def embedding(modality: Modality, end_ms: float) -> Embedding:
    return Embedding(modality, np.zeros(1, np.float32), round(end_ms * MS), round(end_ms * MS))


def play(
    steps: list[tuple[Modality, float]], until_ms: float, settings: AlignmentSettings = SETTINGS
) -> list[tuple[float, dict[str, float]]]:
    """Return the moments of embeddings that are delivered at their end: (time, {modality: age}) in milliseconds."""
    state, moments = Alignment(), []
    for modality, end_ms in steps:
        state, made, _ = deliver(state, embedding(modality, end_ms), round(end_ms * MS), settings)
        moments += made
    state, made = advance(state, round(until_ms * MS), settings)
    moments += made
    return [
        (moment.time_ns / MS, {modality: moment.age_ns(modality) / MS for modality in moment.embeddings})
        for moment in moments
    ]


def test_a_moment_has_the_new_embedding_and_the_latest_of_the_others() -> None:
    assert play([("audio", 1000), ("image", 1050), ("image", 1090)], 1090) == [
        (1000, {"audio": 0}),
        (1050, {"audio": 50, "image": 0}),
        (1090, {"audio": 90, "image": 0}),
    ]


def test_an_embedding_older_than_its_max_age_is_absent_and_its_expiry_makes_a_moment() -> None:
    moments = play([("image", 1000), ("audio", 1050)], 2000)
    assert moments[:2] == [(1000, {"image": 0}), (1050, {"image": 50, "audio": 0})]
    assert [set(ages) for _, ages in moments[2:]] == [{"audio"}, set()]
    assert [round(time) for time, _ in moments[2:]] == [1100, 1350]


def test_two_moments_are_at_least_the_minimum_interval_apart() -> None:
    moments = play([("image", 1000), ("audio", 1004), ("text", 1006)], 1050)
    assert moments == [(1000, {"image": 0}), (1006, {"image": 6, "audio": 2, "text": 0})]


def test_an_embedding_that_has_expired_on_arrival_is_late() -> None:
    state, moments, in_time = deliver(Alignment(), embedding("image", 1000), 1101 * MS, SETTINGS)
    assert (state, moments, in_time) == (Alignment(), [], False)


def test_late_embeddings_are_dropped() -> None:
    state, _, in_time = deliver(Alignment(), embedding("image", 1000), 1000 * MS, SETTINGS)
    assert in_time
    for modality, end_ms in (("image", 999), ("image", 990), ("audio", 600)):
        after, moments, in_time = deliver(state, embedding(modality, end_ms), 1000 * MS, SETTINGS)
        assert (after, moments, in_time) == (state, [], False)


arrivals = st.lists(
    st.tuples(st.sampled_from(["image", "audio", "text"]), st.integers(0, 400), st.integers(0, 60)),
    max_size=40,
)


@given(arrivals, st.integers(1, 80))
def test_moments_are_in_order_and_hold_no_expired_embedding(
    steps: list[tuple[Modality, int, int]], interval_ms: int
) -> None:
    settings = AlignmentSettings(SETTINGS.max_age_ns, interval_ms * MS)
    state, now_ms, made_at = Alignment(), 5000, []
    for modality, wait_ms, delay_ms in steps:
        now_ms += wait_ms
        before_ns = now_ms * MS
        state, moments, _ = deliver(state, embedding(modality, now_ms - delay_ms), before_ns, settings)
        made_at += moments
    state, moments = advance(state, (now_ms + 5000) * MS, settings)
    made_at += moments
    times = [moment.time_ns for moment in made_at]
    assert times == sorted(times)
    for moment in made_at:
        for modality in moment.embeddings:
            assert 0 <= moment.age_ns(modality) <= settings.max_age_ns[modality]
    if steps:
        assert made_at[-1].embeddings == {}, "every embedding expires, so the last moment is empty"
    assert next_due_ns(state, settings) is None


@given(arrivals, st.lists(st.integers(0, 16_000), max_size=30))
def test_more_calls_of_advance_change_nothing(steps: list[tuple[Modality, int, int]], looks_ms: list[int]) -> None:
    def run(looks: list[int]) -> list[tuple[int, list[str]]]:
        state, now_ms, moments = Alignment(), 0, []
        pending = sorted(looks)
        for modality, wait_ms, _ in steps:
            now_ms += wait_ms
            while pending and pending[0] < now_ms:
                state, made = advance(state, pending.pop(0) * MS, SETTINGS)
                moments += made
            state, made, _ = deliver(state, embedding(modality, now_ms), now_ms * MS, SETTINGS)
            moments += made
        state, made = advance(state, 20_000 * MS, SETTINGS)
        return [(moment.time_ns, sorted(moment.embeddings)) for moment in moments + made]

    assert run(looks_ms) == run([])

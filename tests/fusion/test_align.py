"""Alignment, by tables and by properties."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.records import Embedding, Modality, Moment
from daemon.fusion.align import Alignment, AlignmentSettings, advance, deliver, next_due_ns

MS = 1_000_000
SETTINGS = AlignmentSettings({"image": 100 * MS, "audio": 300 * MS, "text": 1000 * MS}, min_interval_ns=10 * MS)


def embedding(modality: str, end_ms: float) -> Embedding:
    return Embedding(modality, np.zeros(1, np.float32), round(end_ms * MS), round(end_ms * MS))


def play(
    steps: list[tuple[str, float]], until_ms: float, settings: AlignmentSettings = SETTINGS
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


def encoded(end_ms: float, taken_ms: float, modality: str = "image") -> Embedding:
    return replace(embedding(modality, end_ms), taken_ns=round(taken_ms * MS))


Told = list[tuple[float, dict[str, float]]]


def told(moments: list[Moment]) -> Told:
    """Return the time of each moment, and how late each embedding of it was fused, in milliseconds."""
    return [(each.time_ns / MS, {m: e.late_ns / MS for m, e in each.embeddings.items()}) for each in moments]


@pytest.mark.parametrize(
    ("end_ms", "taken_ms", "now_ms", "is_fused"),
    [
        (1000, 1000, 1050, True),  # quick
        (1000, 1000, 9000, True),  # slow encoding
        (1000, 1100, 9000, True),  # just fresh enough when it was queued
        (1000, 1101, 1101, False),  # too old when it was queued: the source is late
        (1000, 1101, 9000, False),
        (1000, 1000, 31_001, False),  # its encoder hung, or the program was suspended
        (1000, None, 1101, False),  # it did not wait for an encoder
    ],
)
def test_an_embedding_is_late_only_if_its_input_was(
    end_ms: float, taken_ms: float | None, now_ms: float, is_fused: bool
) -> None:
    late = embedding("image", end_ms) if taken_ms is None else encoded(end_ms, taken_ms)
    _, moments, in_time = deliver(Alignment(), late, round(now_ms * MS), SETTINGS)
    assert (in_time, len(moments)) == (is_fused, is_fused)


def test_a_late_embedding_is_in_one_moment_with_its_age() -> None:
    state, moments, _ = deliver(Alignment(), encoded(1000, 1000), 1600 * MS, SETTINGS)
    assert told(moments) == [(1600, {"image": 600})]
    state, moments, _ = deliver(state, embedding("audio", 1650), 1650 * MS, SETTINGS)
    assert told(moments) == [(1650, {"audio": 0})], "it is in no second moment"


def test_an_embedding_that_waited_through_a_pause_of_the_machine_changes_nothing_before() -> None:
    state, _, _ = deliver(Alignment(), encoded(1000, 1000), 1010 * MS, SETTINGS)
    state, moments = advance(state, 5000 * MS, SETTINGS)
    assert told(moments) == [(pytest.approx(1100, abs=0.01), {})], "the picture is missed"
    _, moments, _ = deliver(state, encoded(1033, 1033), 5000 * MS, SETTINGS)
    assert told(moments) == [(5000, {"image": 3967})]


def test_an_embedding_of_another_sense_is_in_the_moment_of_a_late_one() -> None:
    state, _, _ = deliver(Alignment(), embedding("audio", 1500), 1510 * MS, SETTINGS)
    state, moments, _ = deliver(state, encoded(1000, 1000), 1600 * MS, SETTINGS)
    assert told(moments) == [(1600, {"audio": 0, "image": 600})]


def test_a_sense_is_not_missed_between_two_embeddings_of_a_slow_encoder() -> None:
    state, made = Alignment(), []
    for end_ms in (1000, 1600, 2200, 2800):
        state, moments, in_time = deliver(state, encoded(end_ms, end_ms), (end_ms + 600) * MS, SETTINGS)
        assert in_time
        made += moments
    ages = {"image": 600}
    assert told(made) == [(1600, ages), (1600, ages), (2200, ages), (2800, ages)], "each at its capture, and none empty"
    _, moments = advance(state, 9000 * MS, SETTINGS)
    assert [time for time, _ in told(moments)] == [pytest.approx(3400 + 600 + 100, abs=0.01)], "then it is missed"
    assert moments[0].embeddings == {}


def test_another_sense_that_ends_does_not_end_the_events_of_a_slow_one() -> None:
    state, _, _ = deliver(Alignment(), embedding("audio", 1500), 1500 * MS, SETTINGS)
    state, _, _ = deliver(state, encoded(1000, 1000), 1700 * MS, SETTINGS)
    state, moments = advance(state, 1900 * MS, SETTINGS)
    assert moments == [], "the sound is missed at 1800, and the next picture is being encoded"
    _, moments = advance(state, 9000 * MS, SETTINGS)
    assert [time for time, ages in told(moments) if not ages] == [pytest.approx(1700 + 700 + 100, abs=0.01)]


def test_an_embedding_that_was_overtaken_is_dropped_although_the_newer_one_is_missed() -> None:
    state, _, _ = deliver(Alignment(), encoded(2000, 2000), 2010 * MS, SETTINGS)
    state, _ = advance(state, 9000 * MS, SETTINGS)
    after, moments, in_time = deliver(state, encoded(1000, 1000), 9000 * MS, SETTINGS)
    assert (after, moments, in_time) == (state, [], False)


SEVERAL = AlignmentSettings({"scene": 100 * MS, "people": 1500 * MS}, min_interval_ns=10 * MS)


def test_encoders_of_one_sense_expire_each_by_itself() -> None:
    moments = play([("people", 1000), ("scene", 1000), ("scene", 1090), ("people", 1500)], 4000, SEVERAL)
    assert [(round(time), {name: round(age) for name, age in ages.items()}) for time, ages in moments] == [
        (1000, {"people": 0}),
        (1000, {"people": 0, "scene": 0}),
        (1090, {"people": 90, "scene": 0}),
        (1190, {"people": 190}),
        (1500, {"people": 0}),
        (3000, {}),
    ]


def test_a_slow_encoder_of_a_sense_delays_no_moment_of_a_fast_one() -> None:
    """People takes 800 ms for each picture, of which one comes every 500 ms: more than its maximum age in the end."""
    settings, state, made = replace(SEVERAL, max_age_ns={"scene": 100 * MS, "people": 600 * MS}), Alignment(), []
    for at_ms in range(1000, 4000, 50):
        state, moments, in_time = deliver(state, encoded(at_ms, at_ms, "scene"), (at_ms + 5) * MS, settings)
        assert in_time
        made += moments
        if at_ms % 500 == 0 and at_ms >= 2000:
            state, moments, in_time = deliver(
                state, encoded(at_ms - 800, at_ms - 800, "people"), (at_ms + 6) * MS, settings
            )
            assert in_time
            made += moments
    times = told(made)
    assert [time for time, _ in times] == sorted(time for time, _ in times)
    assert all("scene" in names for _, names in times), "it is in every moment"
    assert sum(time == round(time / 50) * 50 and "people" not in names for time, names in times) == 60
    ages = [names["people"] for _, names in times if "people" in names]
    assert ages == [806] * 4, "each of people is in one moment, with its age"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["image", "audio"]), st.integers(0, 400), st.integers(0, 150), st.integers(0, 40_000)
        ),
        max_size=30,
    ),
    st.integers(1, 80),
)
def test_slow_encoders_keep_the_order_use_nothing_twice_and_end_in_an_empty_moment(
    steps: list[tuple[Modality, int, int, int]], interval_ms: int
) -> None:
    settings = AlignmentSettings(SETTINGS.max_age_ns, interval_ms * MS)
    state, now_ms, made = Alignment(), 100_000, []
    for modality, pause_ms, age_ms, waited_ms in steps:
        now_ms += pause_ms
        late = encoded(now_ms - waited_ms - age_ms, now_ms - waited_ms, modality)
        state, moments, _ = deliver(state, late, now_ms * MS, settings)
        made += moments
    state, moments = advance(state, (now_ms + 100_000) * MS, settings)
    made += moments
    times = [moment.time_ns for moment in made]
    assert times == sorted(times)
    for modality in ("image", "audio"):
        used = [moment.embeddings[modality] for moment in made if modality in moment.embeddings]
        assert [each.end_ns for each in used] == sorted(each.end_ns for each in used), "none is overtaken"
        late = [id(each.vector) for each in used if each.late_ns]
        assert len(late) == len(set(late)), "a late embedding is in one moment"
    assert not made or made[-1].embeddings == {}, "what ends in reality is missed in the end"
    assert next_due_ns(state, settings) is None


@pytest.mark.parametrize("days", [105, 400, 4000])
def test_moments_are_the_same_after_years_of_uptime(days: int) -> None:
    steps = [("image", 1000), ("audio", 1005), ("image", 1050), ("text", 1200), ("image", 1333)]
    late_ms = days * 86_400_000
    first, later = play(steps, 5000), play([(name, at_ms + late_ms) for name, at_ms in steps], 5000 + late_ms)
    assert [(round(at_ms + late_ms, 1), ages) for at_ms, ages in first] == [
        (round(at_ms, 1), ages) for at_ms, ages in later
    ]

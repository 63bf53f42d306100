"""The fit of taught labels, on drawn vectors."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from daemon.core.errors import Refused
from daemon.core.records import Array
from daemon.teaching.decisions import hours_of
from daemon.teaching.fit import Fitted, fit
from daemon.teaching.records import BackgroundMoment, StoredMoment, WrongMoment
from daemon.teaching.rows import EventTimes, LabelToFit
from daemon.teaching.thresholds import sustained
from tests.helpers.taught_world import MODALITIES, SIZES, World, training_set

ROOM = {"scene": "room", "sound": "quiet"}
BELL = {"scene": "room", "sound": "bell"}
DOG = {"scene": "room", "sound": "dog"}
PRESS = [ROOM, BELL, BELL, ROOM]


def no_base(vectors: object, stream: str | None = None) -> Array:
    raise AssertionError("the base is asked with exclusive scoring only")


def logits(fitted: Fitted, vectors: Mapping[str, Array]) -> Array:
    """The logits that a head with the fitted weights gives."""
    parts = [vectors.get(name, np.zeros(size, np.float32)) for name, size in SIZES.items()]
    features = np.concatenate([*parts, np.array([name in vectors for name in SIZES], np.float32)])
    return np.asarray(fitted.weights @ features + fitted.bias)


def scores(fitted: Fitted, vectors: Mapping[str, Array]) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits(fitted, vectors))))


def bells(world: World, count: int = 5) -> list:
    return [world.example(f"bell-{place}", "bell", PRESS, taken_s=place * 3600.0) for place in range(count)]


@pytest.fixture
def world() -> World:
    return World(2)


@pytest.fixture(scope="module")
def bell() -> Fitted:
    world = World(1)
    return fit(training_set(["bell"], bells(world), world.background(200, ROOM)), no_base)


def test_a_label_starts_at_its_sound_and_not_in_its_background(world: World, bell: Fitted) -> None:
    assert bell.weights.shape == (1, sum(SIZES.values()) + len(MODALITIES))
    threshold = bell.labels["bell"].streams["hall"]
    assert threshold.end < threshold.start
    assert all(scores(bell, world.vectors(BELL))[0] >= threshold.start for _ in range(20))
    assert all(scores(bell, world.vectors(ROOM))[0] < threshold.start for _ in range(20))


def test_the_sense_that_tells_the_label_suffices(world: World, bell: Fitted) -> None:
    start = bell.labels["bell"].streams["hall"].start
    assert all(scores(bell, world.vectors({"sound": "bell"}))[0] >= start for _ in range(20))
    assert all(scores(bell, world.vectors({"scene": "room"}))[0] < start for _ in range(20))


def test_presses_in_the_dark_are_found_as_well_while_the_camera_sees() -> None:
    world = World(seed=1, noise=1.0)
    dark = [{"sound": "quiet"}, {"sound": "bell"}, {"sound": "bell"}]
    presses = [world.example(f"bell-{place}", "bell", dark, taken_s=place * 3600.0) for place in range(5)]
    fitted = fit(training_set(["bell"], presses, world.background(100, ROOM)), no_base)
    start = fitted.labels["bell"].streams["hall"].start
    assert np.mean([scores(fitted, world.vectors(BELL))[0] >= start for _ in range(100)]) > 0.85


def test_a_camera_that_the_background_does_not_know_speaks_for_no_label() -> None:
    world = World(seed=1, noise=1.0)
    fitted = fit(training_set(["bell"], bells(world), world.background(100, {"sound": "quiet"})), no_base)
    start = fitted.labels["bell"].streams["hall"].start
    assert np.mean([scores(fitted, world.vectors(ROOM))[0] >= start for _ in range(100)]) < 0.02


def test_the_report_tells_held_out_presses_and_the_sense_that_carries_the_label(bell: Fitted) -> None:
    report = bell.report.labels[0]
    assert (report.presses, report.found, report.tried) == (5, 5, 5)
    assert report.senses["audio"] > 0.8
    assert report.found_without == {"image": 5, "audio": 0}
    rate = report.false_alarms_a_day
    assert rate is not None and rate.low <= rate.expected <= rate.high
    assert rate.hours == pytest.approx(20.0)  # 200 moments, each in a tenth of an hour of its own
    assert "heard in 5 of 5 that were held out" in report.text


def test_background_covers_no_more_than_the_time_in_which_it_was_taken() -> None:
    minute = [BackgroundMoment("hall", 1e9 + second, {}, {}) for second in range(50)]
    assert 3600 * hours_of(training_set(["bell"], [], minute), "hall") == pytest.approx(59)


def test_a_label_that_its_picture_carries_is_warned_about(world: World) -> None:
    shown = [{"scene": "somebody", "sound": "quiet"}] * 3
    examples = [world.example(f"{place}", "bell", shown) for place in range(5)]
    fitted = fit(training_set(["bell"], examples, world.background(100, ROOM)), no_base)
    assert any(
        "recognised by the picture of hall, not by its sound" in each for each in fitted.report.labels[0].warnings
    )


def test_one_press_is_fitted_and_no_figure_is_told(world: World) -> None:
    fitted = fit(training_set(["bell"], bells(world, 1), world.background(60, ROOM)), no_base)
    report = fitted.report.labels[0]
    assert (report.found, report.tried) == (None, None)
    assert "not known: one press cannot be held out" in report.text
    start = fitted.labels["bell"].streams["hall"].start
    assert scores(fitted, world.vectors(BELL))[0] >= start > scores(fitted, world.vectors(ROOM))[0]


def test_the_presses_of_other_labels_speak_against_a_label(world: World) -> None:
    dogs = [world.example(f"dog-{place}", "dog", [ROOM, DOG, DOG]) for place in range(5)]
    fitted = fit(training_set(["bell", "dog"], [*bells(world), *dogs], world.background(100, ROOM)), no_base)
    for place, senses in enumerate((BELL, DOG)):
        assert scores(fitted, world.vectors(senses)).argmax() == place
        assert scores(fitted, world.vectors(senses))[1 - place] < 0.5


def test_a_moment_called_wrong_starts_no_event_any_more(world: World) -> None:
    glass = {"scene": "room", "sound": "glass"}
    mixed = {"scene": "room", "sound": "bell"}
    near = {name: (world.vectors(glass)[name] + world.vectors(mixed)[name]) / 2 for name in SIZES}
    training = training_set(["bell"], bells(world), world.background(100, ROOM))
    before = logits(fit(training, no_base), near)[0]
    wrong = [WrongMoment("bell", "hall", 0.0, {}, near)]
    after = fit(replace(training, wrong=wrong), no_base)
    assert logits(after, near)[0] < before - 1
    assert scores(after, near)[0] < after.labels["bell"].streams["hall"].start
    assert scores(after, world.vectors(BELL))[0] >= after.labels["bell"].streams["hall"].start


@pytest.mark.parametrize("likeness", [0.8, 0.9, 1.0])
def test_what_was_called_wrong_starts_no_event_however_like_the_label_it_is(likeness: float) -> None:
    world = World(seed=1)
    bell, glass = world.vectors(BELL), world.vectors({"scene": "room", "sound": "glass"})
    near = {name: likeness * bell[name] + (1 - likeness) * glass[name] for name in SIZES}
    wrong = [WrongMoment("bell", "hall", 0.0, {}, near)]
    fitted = fit(training_set(["bell"], bells(world), world.background(100, ROOM), wrong=wrong), no_base)
    start = fitted.labels["bell"].streams["hall"].start
    assert scores(fitted, near)[0] < start - 0.05
    assert np.mean([scores(fitted, world.vectors(BELL))[0] >= start for _ in range(50)]) > 0.5


def test_several_moments_called_wrong_at_once_count_as_one() -> None:
    world = World(seed=1)
    near = [world.vectors(BELL) for _ in range(4)]
    one = WrongMoment("bell", "hall", 0.0, {}, near[0], near[1:])
    training = training_set(["bell"], bells(world), world.background(100, ROOM))
    at_once = fit(replace(training, wrong=[one]), no_base)
    each = fit(replace(training, wrong=[replace(one, vectors=of, further=()) for of in near]), no_base)
    start = at_once.labels["bell"].streams["hall"].start
    assert all(scores(at_once, of)[0] < start for of in near)
    assert logits(each, near[0])[0] < logits(at_once, near[0])[0] - 0.2


def test_each_stream_has_thresholds_from_its_own_background(world: World) -> None:
    loud = world.background(100, DOG, stream="yard")
    labels = [LabelToFit("bell", frozenset({"hall", "yard", "attic"}))]
    background = [*world.background(100, ROOM), *loud, *world.background(29, ROOM, stream="attic")]
    fitted = fit(training_set([], bells(world), background, labels=labels), no_base)
    assert fitted.labels["bell"].streams.keys() == {"hall", "yard"}
    assert fitted.labels["bell"].everywhere is None
    assert fitted.report.notes == ["bell waits for background: attic 29 of 30"]


def test_a_label_for_everywhere_has_the_highest_threshold_elsewhere(world: World) -> None:
    labels = [LabelToFit("bell", frozenset({"hall"}), everywhere=True)]
    background = [*world.background(100, ROOM), *world.background(100, DOG, stream="yard")]
    taught = fit(training_set([], bells(world), background, labels=labels), no_base).labels["bell"]
    assert taught.everywhere is not None
    assert taught.everywhere.start == max(each.start for each in taught.streams.values())


def test_a_label_waits_for_background(world: World) -> None:
    with pytest.raises(Refused, match="bell waits for background: hall 29 of 30"):
        fit(training_set(["bell"], bells(world), world.background(29, ROOM)), no_base)


def test_what_is_not_finite_is_left_out(world: World) -> None:
    broken = {"sound": np.full(SIZES["sound"], np.nan, np.float32), "scene": np.zeros(3, np.float32)}
    spoilt = replace(bells(world, 1)[0], id="spoilt", moments=[StoredMoment(0, broken)])
    training = training_set(["bell"], [*bells(world), spoilt], world.background(100, ROOM))
    fitted = fit(training, no_base)
    assert np.isfinite(fitted.weights).all()
    assert fitted.report.labels[0].presses == 5
    with pytest.raises(Refused, match="bell has no example that this bundle can use"):
        fit(replace(training, examples=[spoilt]), no_base)


def test_the_order_of_background_changes_nothing(world: World) -> None:
    background = world.background(40, ROOM)
    forwards, backwards = (
        fit(training_set(["bell"], bells(World(2)), moments), no_base) for moments in (background, background[::-1])
    )
    assert forwards.labels == backwards.labels
    assert forwards.report == backwards.report


def test_a_press_of_something_else_is_told_as_mislabelled(world: World) -> None:
    dogs = [world.example(f"dog-{place}", "dog", [ROOM, DOG, DOG]) for place in range(6)]
    strange = world.example("strange", "bell", [ROOM, DOG, DOG])
    training = training_set(["bell", "dog"], [*bells(world), strange, *dogs], world.background(100, ROOM))
    report = fit(training, no_base).report.labels[0]
    assert report.mislabelled == report.harmful == ["strange"]
    assert "press strange may have the wrong label" in report.warnings
    assert "without press strange the others are recognised better" in report.warnings
    assert report.found == 5
    assert report.missed == ["strange"]
    assert fit(training, no_base).report.text()[1] == "  missed: press strange"


def test_what_is_told_is_what_is_lived() -> None:
    told, lived = [], []
    for seed in range(8):
        world = World(seed, noise=1.3)  # so much noise that presses are missed
        presses = [{"scene": "room", "sound": "bell"}] * 3
        examples = [world.example(f"{place}", "bell", presses) for place in range(10)]
        fitted = fit(training_set(["bell"], examples, world.background(150, ROOM)), no_base)
        report, start = fitted.report.labels[0], fitted.labels["bell"].streams["hall"].start
        assert report.found is not None
        told.append(report.found / 10)
        for place in range(60):
            moments = world.example(f"new-{place}", "bell", presses).moments
            values = np.array([scores(fitted, moment.vectors) for moment in moments], np.float32)
            lived.append(sustained(values, [0, 500, 1000], EventTimes())[0] >= start)
    assert 0.2 < np.mean(told) < 0.95
    assert np.mean(told) == pytest.approx(np.mean(lived), abs=0.1)


def test_scores_alone_are_called_weaker(world: World) -> None:
    training = training_set(["bell"], bells(world), world.background(60, ROOM), scores_only=frozenset({"sound"}))
    assert any("sound gives scores and no embedding" in line for line in fit(training, no_base).report.text())


class TestStates:
    """States of a group: one is there at a time, and none is sure when the camera is covered."""

    @pytest.fixture
    @staticmethod
    def world() -> World:
        return World(2, noise=0.15)

    @pytest.fixture(scope="class")
    @staticmethod
    def garage() -> Fitted:
        world = World(1, noise=0.15)
        names = ["garage: open", "garage: closed", "garage: half"]
        examples = [world.example(f"{name}-{place}", name, [{"scene": name}]) for name in names for place in range(10)]
        labels = [LabelToFit(name, frozenset({"hall"}), state_of="garage") for name in names]
        covered = [world.vectors({"scene": kind}) for kind in ("black", "white", "grey", "noise") for _ in range(4)]
        return fit(training_set([], examples, [], labels=labels, covered=covered), no_base)

    @pytest.mark.parametrize("place", range(3))
    def test_each_state_is_sure_where_it_is_seen(self, world: World, garage: Fitted, place: int) -> None:
        name = list(garage.labels)[place]
        for _ in range(20):
            found = scores(garage, world.vectors({"scene": name}))
            assert (found >= garage.labels[name].streams["hall"].start).tolist() == [each == place for each in range(3)]

    @pytest.mark.parametrize("kind", ["black", "white", "grey", "noise"])
    def test_a_covered_camera_gives_no_sure_state(self, world: World, garage: Fitted, kind: str) -> None:
        for _ in range(20):
            assert (scores(garage, world.vectors({"scene": kind})) < 0.5).all()

    def test_states_are_told_without_false_alarms(self, garage: Fitted) -> None:
        assert all(each.found == 10 and each.false_alarms_a_day is None for each in garage.report.labels)
        assert {each.state_of for each in garage.labels.values()} == {"garage"}

    def test_one_state_alone_cannot_be_fitted(self, world: World) -> None:
        labels = [LabelToFit("garage: open", frozenset({"hall"}), state_of="garage")]
        examples = [world.example("1", "garage: open", [{"scene": "open"}])]
        with pytest.raises(Refused, match="garage: open is the only state of garage so far: teach another one"):
            fit(training_set([], examples, [], labels=labels), no_base)


@pytest.mark.parametrize(
    ("shown", "room", "expected"),
    [
        (
            "rooster",
            "quiet",
            ["the bundle's own rooster is also recognised in 5 of 5 presses: use it where it means the same"],
        ),
        ("bell", "quiet", []),
        ("speech", "speech", []),  # it is usual there, so it says nothing of the presses
    ],
)
def test_the_report_says_which_label_of_an_independent_base_is_recognised_beside_it(
    shown: str, room: str, expected: list[str]
) -> None:
    world = World(3)
    base = SureBase(world, ["rooster", "speech", "quiet"])
    examples = [world.example(f"{n}", "crow", [{"sound": shown}] * 3, taken_s=n * 3600.0) for n in range(5)]
    background = world.background(100, {"sound": room})
    names = ["rooster", "speech", None]
    fitted = fit(training_set(["crow"], examples, background, base_labels=names), base)
    (report,) = fitted.report.labels
    assert [each for each in report.warnings if each.startswith("the bundle's own ")] == expected


class LinearBase:
    """A base whose labels are classes of the world: the logit is how far a vector goes towards the class."""

    def __init__(self, world: World, classes: list[str]) -> None:
        self._weights = {name: np.stack([world.direction(name, each) for each in classes]) for name in SIZES}

    def __call__(self, vectors: Mapping[str, Array], stream: str | None = None) -> Array:
        total = np.zeros(len(next(iter(self._weights.values()))), np.float32)
        for name, vector in vectors.items():
            total += self._weights[name] @ vector / 2
        return total - total.mean()


class SureBase(LinearBase):
    """Only what is like a class has a logit above 0."""

    def __call__(self, vectors: Mapping[str, Array], stream: str | None = None) -> Array:
        return super().__call__(vectors, stream) - 2


def test_with_exclusive_scoring_the_base_keeps_its_labels() -> None:
    world = World(3)
    classes = ["one", "two", "three", "quiet"]
    base = LinearBase(world, classes)
    room = {"sound": "quiet"}
    sign = {"sound": "bell"}
    examples = [world.example(f"{place}", "bell", [sign] * 3, taken_s=place * 3600.0) for place in range(5)]
    fitted = fit(training_set(["bell"], examples, world.background(100, room), scoring="exclusive"), base)
    for _ in range(20):
        for place, name in enumerate(classes):
            vectors = world.vectors({"sound": name})
            own = base(vectors)
            assert own.argmax() == place
            assert logits(fitted, vectors)[0] < own.max()
        vectors = world.vectors(sign)
        assert logits(fitted, vectors)[0] > base(vectors).max()
    assert fitted.labels["bell"].streams["hall"].start >= 0.5


@pytest.mark.parametrize(("shown", "expected"), [("one", True), ("bell", False), ("quiet", False)])
def test_the_report_says_that_the_base_has_a_name_for_what_is_taught(shown: str, expected: bool) -> None:
    """`quiet` is background of the base: that keeps presses too, but is no name for them."""
    world = World(3)
    base = LinearBase(world, ["one", "two", "quiet"])
    press = [{"sound": shown}] * 3
    examples = [world.example(f"{place}", "sign", press, taken_s=place * 3600.0) for place in range(5)]
    background = world.background(100, {"sound": "quiet"})
    names = ["one", "two", None]
    fitted = fit(training_set(["sign"], examples, background, scoring="exclusive", base_labels=names), base)
    (report,) = fitted.report.labels
    named = [each for each in report.warnings if each.startswith("the bundle already calls this one in ")]
    assert bool(named) is expected
    assert report.found is not None
    assert (report.found == 5) is (shown == "bell")
    assert (report.found <= 1) is (shown != "bell")

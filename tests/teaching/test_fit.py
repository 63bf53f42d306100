"""The fit of taught labels, on drawn vectors."""

import numpy as np
import pytest

from daemon.core.errors import Refused
from daemon.core.records import Array
from daemon.teaching.fit import Fitted, fit
from tests.helpers.taught_world import MODALITIES, SIZES, World, training_set

ROOM = {"scene": "room", "sound": "quiet"}


def no_base(vectors: object) -> Array:
    raise AssertionError("the base is asked with exclusive scoring only")


def scores(fitted: Fitted, vectors: dict[str, Array]) -> Array:
    """The scores that a head with the fitted weights gives."""
    parts = [vectors.get(name, np.zeros(size, np.float32)) for name, size in SIZES.items()]
    features = np.concatenate([*parts, np.array([name in vectors for name in SIZES], np.float32)])
    return 1 / (1 + np.exp(-(fitted.weights @ features + fitted.bias)))


def test_a_label_is_found_by_its_sound_and_starts_nothing_in_its_background() -> None:
    world = World()
    bell = {"scene": "room", "sound": "bell"}
    examples = [world.example(f"{place}", "bell", [ROOM, bell, bell, ROOM]) for place in range(5)]
    fitted = fit(training_set(["bell"], examples, world.background(200, ROOM)), no_base)
    assert fitted.weights.shape == (1, sum(SIZES.values()) + len(MODALITIES))
    start = fitted.labels["bell"].streams["hall"].start
    assert all(scores(fitted, world.vectors(bell))[0] >= start for _ in range(20))
    assert all(scores(fitted, world.vectors(ROOM))[0] < start for _ in range(20))
    report = fitted.report.labels[0]
    assert (report.found, report.tried) == (5, 5)
    assert report.senses["audio"] > 0.8


def test_a_label_waits_for_background() -> None:
    world = World()
    examples = [world.example("1", "bell", [ROOM])]
    with pytest.raises(Refused, match="bell waits for background: hall 29 of 30"):
        fit(training_set(["bell"], examples, world.background(29, ROOM)), no_base)

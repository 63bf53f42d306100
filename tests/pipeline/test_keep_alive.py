"""The latest embedding is repeated behind a closed gate: often enough, and never when it is too old."""

import pytest

from daemon.bundle.manifest import Manifest
from daemon.config.streams import GatesConfig, MotionConfig, SoundConfig
from daemon.pipeline.keep_alive import KeepAlive, KeepAliveRule, keep_alive_problems, keep_alive_rules
from tests.pipeline.test_ordered import three_senses

MS = 1_000_000
BOTH = GatesConfig(motion=MotionConfig(), sound=SoundConfig(pre_roll_s=0.1))


def senses() -> Manifest:
    """The maximum age is 500 ms for pictures, and 200 ms for sound."""
    return three_senses()


def test_the_default_is_half_of_max_age_less_pre_roll() -> None:
    rules = {"image": KeepAliveRule(250 * MS, 500 * MS), "audio": KeepAliveRule(50 * MS, 200 * MS)}
    assert keep_alive_rules(senses(), BOTH) == rules
    given = GatesConfig(motion=MotionConfig(keep_alive_s=0.1), sound=SoundConfig(keep_alive_s=0.06))
    assert [rule.every_ns for rule in keep_alive_rules(senses(), given).values()] == [100 * MS, 60 * MS]


def test_there_are_no_rules_without_gates_or_for_a_modality_that_the_bundle_lacks() -> None:
    assert keep_alive_rules(senses(), GatesConfig()) == {}
    modalities = senses().modalities
    assert modalities is not None
    without_pictures = senses().model_copy(update={"modalities": modalities.model_copy(update={"image": None})})
    assert keep_alive_rules(without_pictures, BOTH).keys() == {"audio"}


@pytest.mark.parametrize(
    ("gates", "keys"),
    [
        (BOTH, []),
        (
            GatesConfig(motion=MotionConfig(keep_alive_s=0.499), sound=SoundConfig(pre_roll_s=0.1, keep_alive_s=0.09)),
            [],
        ),
        (GatesConfig(motion=MotionConfig(keep_alive_s=0.5)), [("motion", "keep_alive_s")]),
        (GatesConfig(sound=SoundConfig(pre_roll_s=0.2)), [("sound", "pre_roll_s")]),
        (GatesConfig(sound=SoundConfig(pre_roll_s=0.125, keep_alive_s=0.08)), [("sound", "keep_alive_s")]),
    ],
)
def test_a_setting_that_repeats_too_late_is_found(gates: GatesConfig, keys: list[tuple[str, str]]) -> None:
    assert [key for key, _, _ in keep_alive_problems(senses(), gates)] == keys


def test_it_is_due_in_time_and_stale_before_the_first_embedding_and_after_a_pause() -> None:
    keep_alive = KeepAlive({"image": KeepAliveRule(250 * MS, 500 * MS)})
    assert keep_alive.is_stale("image", 0)
    keep_alive.cover("image", 0)
    assert not keep_alive.is_stale("image", 500 * MS)
    assert keep_alive.is_stale("image", 501 * MS)
    assert not keep_alive.is_due("image", 249 * MS)
    assert keep_alive.is_due("image", 250 * MS)
    keep_alive.uncover("image", -1)
    assert not keep_alive.is_stale("image", 10 * MS), "a later embedding still counts"
    keep_alive.uncover("image", 0)
    assert keep_alive.is_stale("image", 10 * MS)
    assert not keep_alive.is_due("image", 10_000 * MS)

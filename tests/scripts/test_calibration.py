"""The numbers of the recipe of `home`: the rule, the levels behind it, and what the recipe must keep to."""

import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from calibration.__main__ import with_sights
from calibration.levels import MIN_DURATION_S, SMOOTHING_S, levels
from calibration.material import recorded_files
from calibration.recipe_numbers import load, sound_evidence, write_bias
from calibration.rule import (
    LEAST_MADE,
    LEAST_RECORDED,
    MARGIN,
    QUIET_SIGHT,
    SEEN_ALONE,
    UNMEASURED,
    sight_evidence,
    start_level,
)
from training.splits import ESC10

from daemon.core.records import Array64
from daemon.core.timing import NS_PER_S
from daemon.fusion import events
from daemon.fusion.events import EventSettings
from tests.shared import SHARED, needs_shared

RECIPE = Path(__file__).parents[2] / "models/home/recipe.yaml"
TEXT = RECIPE.read_text()
CONTENT: dict[str, Any] = load(TEXT)
LABELS: dict[str, Any] = CONTENT["labels"]

SETTINGS = EventSettings(
    encoders={"audio": ("sound",)},
    labels=("dog",),
    makes_events=(True,),
    start=np.array([0.6], np.float32),
    end=np.array([0.3], np.float32),
    smoothing_ns=int(SMOOTHING_S * NS_PER_S),
    min_duration_ns=int(MIN_DURATION_S * NS_PER_S),
    max_duration_ns=3600 * NS_PER_S,
    update_every_ns=3600 * NS_PER_S,
    scoring="independent",
)


def starts(end_ns: Array64, scores: Array64) -> bool:
    """Whether the daemon starts an event."""
    state = events.initial_state(SETTINGS)
    started = []
    for at_ns, score in zip(end_ns.tolist(), scores.tolist(), strict=True):
        moment = np.array([score], np.float32)
        state, new = events.add_scores(state, moment, {}, at_ns, SETTINGS, lambda: uuid.uuid4().hex)
        started += new
    _, new = events.advance(state, int(end_ns[-1]) + 1_500_000_000, SETTINGS, lambda: uuid.uuid4().hex)
    return bool(started or new)


@pytest.mark.parametrize("seed", range(8))
def test_a_label_starts_at_its_level_as_the_daemon_has_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    end_ns = np.arange(1, 12) * 480_000_000
    evidence = np.maximum(0, rng.normal(0, 3, (11, 1)))
    (level,) = levels(end_ns, evidence, 0.6, 0.7)
    for below, expected in ((0.05, True), (-0.05, False)):
        scores = 1 / (1 + np.exp((level - below - evidence[:, 0]) / 0.7))
        assert starts(end_ns, scores) is expected


def test_a_label_starts_above_every_foreign_clip() -> None:
    foreign, none = np.array([1.0, 5.6]), np.array([])
    assert start_level("rain", LEAST_RECORDED, foreign, none, none) == pytest.approx(5.6 + MARGIN)
    assert start_level("rain", LEAST_RECORDED, none, foreign, none) == pytest.approx(max(LEAST_RECORDED, 1.0 + MARGIN))
    assert start_level("rain", LEAST_RECORDED, none, none, none) == LEAST_RECORDED


def test_a_label_whose_misses_are_not_measured_has_a_fixed_level() -> None:
    foreign, none = np.array([6.0]), np.array([])
    assert start_level("frog", UNMEASURED, foreign, none, none) == UNMEASURED
    assert start_level("frog", UNMEASURED, none, none, none) == UNMEASURED


def test_a_label_for_safety_starts_in_no_speech_music_or_noise() -> None:
    none, high = np.array([]), np.array([1.0, 5.5])
    assert start_level("siren", LEAST_MADE, none, high, none) == pytest.approx(5.5 + MARGIN)
    assert start_level("siren", LEAST_MADE, none, none, high) == pytest.approx(5.5 + MARGIN)
    assert start_level("siren", LEAST_MADE, none, none, none) == UNMEASURED


@pytest.mark.parametrize("bias", [-3.2, -4.2, -4.8])
def test_a_clear_sight_starts_a_label_alone_and_nothing_seen_takes_little_away(bias: float) -> None:
    weight, offset = sight_evidence(bias, 0.002, 0.6, 0.7)
    seen, nothing = (weight * math.log(score) + offset for score in (SEEN_ALONE, 0.002))
    assert 1 / (1 + math.exp(-(bias + seen) / 0.7)) == pytest.approx(0.6, abs=0.02)
    assert nothing == pytest.approx(QUIET_SIGHT, abs=0.04)


def test_only_the_line_of_one_label_is_written() -> None:
    old, new = TEXT.splitlines(), write_bias(TEXT, "dog", -1.25).splitlines()
    changed = [line for line, before in zip(new, old, strict=True) if line != before]
    assert changed == ["    bias: -1.25"]
    assert load("\n".join(new))["labels"]["dog"]["bias"] == -1.25


def test_only_clips_under_cc_by_in_folds_1_and_2_are_read(tmp_path: Path) -> None:
    for kind in ("dog", "siren"):
        (tmp_path / kind).mkdir()
        for fold in range(1, 5):
            (tmp_path / kind / f"{fold}-7-A.ogg").touch()
    assert [(kind, path.name) for kind, path in recorded_files(tmp_path)] == [
        ("dog", "1-7-A.ogg"),
        ("dog", "2-7-A.ogg"),
    ]
    assert "siren" not in ESC10


def test_silence_says_nothing() -> None:
    evidence = sound_evidence(CONTENT)
    assert evidence.of(np.zeros((1, 521), np.uint8)) == pytest.approx(0, abs=0.02)


def test_the_evidence_of_sight_follows_from_the_bias() -> None:
    assert with_sights(TEXT) == TEXT


def test_labels_have_names_and_a_dozen_are_shown() -> None:
    about = {label: entry["info"] for label, entry in LABELS.items() if label != "none"}
    assert all({"de", "fr", "es", "nl"} <= info["names"].keys() and "icon" in info for info in about.values())
    assert sum(info.get("shown", False) for info in about.values()) == 12


@needs_shared
def test_sights_are_named_as_the_model_names_them() -> None:
    names = (SHARED / "models/imagenet_labels.txt").read_text().splitlines()
    for classes in CONTENT["groups"]["sights"].values():
        for entry in classes:
            if isinstance(entry, dict):
                ((index, name),) = entry.items()
                assert names[index].split(",")[0] == name


def test_the_moment_that_counts_in_a_case_does_not_depend_on_rounding() -> None:
    """Of two labels that score high, another one would be higher with the kernels of another processor."""
    cases = yaml.safe_load((RECIPE.parent / "selftest/cases.yaml").read_text())["cases"]
    for case in cases:
        assert sum(score > 0.5 for score in case["scores"].values()) <= 1, case

"""The parts of scripts/evaluate-digits are correct: intervals, frames, windows, lines, calibration."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from evaluation.frames import HEIGHT, SIZES, WIDTH, composed
from evaluation.hearing import windows
from evaluation.held_out import faded
from evaluation.moments import ece
from evaluation.quantized import lost_rows
from evaluation.rows import Row, at_least, at_most, plain, render, share, wilson
from evaluation.sentences import LONGEST, distance, sentences
from hypothesis import given
from hypothesis import strategies as st
from training.specs import NONE

SENTENCES = Path(__file__).resolve().parents[2] / "scripts" / "evaluation" / "sentences.yaml"
BAR = cv2.rectangle(np.zeros((28, 28), np.uint8), (11, 4), (16, 23), 255, -1)


@given(st.integers(1, 500), st.floats(0, 1))
def test_an_interval_contains_its_share_and_lies_in_0_to_1(count: int, part: float) -> None:
    hits = round(count * part)
    low, high = wilson(hits, count)
    assert 0 <= low <= hits / count + 1e-9
    assert hits / count - 1e-9 <= high <= 1


def test_intervals_agree_with_published_examples() -> None:
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_rows_show_whether_the_target_is_met() -> None:
    rows = [share("image", "centred", 99, 100, at_least(99)), plain("size", "all", 601, "KB", at_most(600))]
    assert [row.met for row in rows] == [True, False]
    assert list(render(rows))[2:] == [
        "| image | centred | 99.00 % | 100 | 94.55 to 99.82 | ≥ 99 % | met |",
        "| size | all | 601 KB |  |  | ≤ 600 KB | missed |",
    ]


def test_the_loss_of_int8_is_in_points_whether_more_or_less_is_better() -> None:
    def rows(right: int, f1: float, error: float, false: int, behind: float) -> list[Row]:
        return [
            share("image", "centred", right, 200),
            plain("events", "10 min: F1", f1, "", at_least(0.97)),
            plain("calibration", "clean: error of the top score", error, "", at_most(0.03)),
            plain("nothing there", "sound: false events", false, "", at_most(0)),
            plain("missing modality", "text: behind a head of its own", behind, "points", at_most(0.5)),
            plain("events", "all: delay, 90 %", 0.8, "s"),
        ]

    lost = lost_rows(rows(198, 0.970, 0.020, 3, 0.1), rows(199, 0.975, 0.018, 1, 0.2))
    assert [row.value for row in lost] == pytest.approx([0.5, 0.5, 0.2, 2, -0.1])
    assert [row.unit for row in lost] == ["points", "points", "points", "", "points"]
    assert [row.met for row in lost] == [False, False, True, None, True]


@pytest.mark.parametrize("seed", range(20))
def test_a_digit_lies_completely_in_its_frame_and_has_the_promised_height(seed: int) -> None:
    with_digit, without = (
        cv2.GaussianBlur(composed(picture, np.random.default_rng(seed)), (0, 0), 2).astype(float)
        for picture in (BAR, np.zeros_like(BAR))
    )
    rows, columns = np.nonzero(np.abs(with_digit - without).max(axis=2) > 20)
    height = rows.max() - rows.min() + 1
    assert SIZES[0] * HEIGHT * 0.85 <= height <= SIZES[1] * HEIGHT * 1.15
    assert rows.min() > 0
    assert columns.min() > 0
    assert rows.max() < HEIGHT - 1
    assert columns.max() < WIDTH - 1


@given(st.floats(-5, 20), st.integers(0, 2**32))
def test_noise_has_the_requested_signal_to_noise_ratio(snr_db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    voice = rng.normal(0, 0.01, 3000).astype(np.float32)
    noise = rng.normal(0, 0.2, 40_000).astype(np.float32)
    (alone,) = windows([voice], 8000, np.random.default_rng(seed))
    (mixed,) = windows([voice], 8000, np.random.default_rng(seed), [noise], snr_db)
    found_db = 10 * np.log10(np.mean(voice**2) / np.mean((mixed - alone) ** 2))
    assert found_db == pytest.approx(snr_db, abs=0.01)
    assert np.count_nonzero(alone) == np.count_nonzero(voice)


def test_faded_pictures_keep_at_most_a_quarter_of_their_variance() -> None:
    rng = np.random.default_rng(1)
    rows = 128 + rng.normal(0, 1, (300, 40)) @ rng.normal(0, 1, (40, 784))
    pictures = np.clip(rows, 0, 255).astype(np.uint8).reshape(-1, 28, 28)
    remaining = faded(pictures, pictures).astype(float).var(axis=0).sum() / pictures.astype(float).var(axis=0).sum()
    assert 0.15 < remaining <= 0.26


def test_lines_are_short_and_distinct_and_a_mistyped_one_has_one_slip() -> None:
    source = yaml.safe_load(SENTENCES.read_text(encoding="utf-8"))
    lines = sentences(np.random.default_rng(1))
    assert all(len(line.text.encode()) <= LONGEST for line in lines)
    for language, part in source.items():
        assert len(set(part["carriers"])) == len(part["carriers"]) >= 40
        assert len(set(part["others"])) == len(part["others"]) >= 40
        for line in lines:
            if line.language == language and line.kind == "mistyped":
                meant = [carrier.format(part["words"][line.label]) for carrier in part["carriers"]]
                assert line.text not in meant
                near = [text for text in meant if abs(len(text) - len(line.text)) <= 1]
                assert any(distance(line.text, text) == 1 for text in near)
    assert {line.label for line in lines if line.kind == "none"} == {NONE}


def test_distance_counts_slips() -> None:
    words = ("seven", "sevne", "seve", "seeven", "sevem", "six")
    assert [distance("seven", word) for word in words] == [0, 1, 1, 1, 1, 4]


def test_calibration_error_is_the_gap_between_score_and_truth() -> None:
    top = np.full(1000, 0.9, np.float32)
    assert ece(top, np.arange(1000) < 900) == pytest.approx(0, abs=1e-6)
    assert ece(top, np.arange(1000) < 700) == pytest.approx(0.2, abs=1e-6)

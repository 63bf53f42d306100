"""Which cells of the image network must name a digit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training.cells import cell_labels, cells
from training.scenes import CLOSE, FRAME, PART, View
from training.specs import NONE

POSITIONS = cells(FRAME.height, FRAME.width, FRAME.levels)
SEVEN_OR_NONE = -8


def labels_of(box: tuple[float, float, float, float], digit: int) -> np.ndarray:
    return cell_labels(np.array([box], np.int16), np.array([digit]), POSITIONS)[0]


@given(
    height=st.floats(FRAME.lowest, FRAME.highest),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
)
def test_a_digit_of_any_promised_size_and_position_is_named_by_some_cell(
    height: float, across: float, down: float
) -> None:
    width = height * 0.6
    left, top = across * (FRAME.width - width), down * (FRAME.height - height)
    named = labels_of((left, top, left + width, top + height), 7)
    assert (named == 7).any()
    assert set(named.tolist()) <= {7, NONE, SEVEN_OR_NONE}


def test_distant_cells_and_frames_without_a_digit_answer_none() -> None:
    named = labels_of((10, 10, 22, 30), 3)
    far = (POSITIONS[:, 0] > 80) & (POSITIONS[:, 2] == 1)
    assert (named[far] == NONE).all()
    assert (labels_of((0, 0, 0, 0), NONE) == NONE).all()


def test_cells_beside_a_digit_or_of_a_wrong_size_may_answer_the_digit_or_none() -> None:
    height, width = 42, 24
    left, top = 50, 40
    named = labels_of((left, top, left + width, top + height), 7)
    at_scale = {scale: named[POSITIONS[:, 2] == scale] for scale in (1, 2, 4)}
    # 42 pixels are too high at full size, right at half size, and just too low at a quarter
    assert set(at_scale[1].tolist()) == {NONE, SEVEN_OR_NONE}
    assert set(at_scale[2].tolist()) == {7, NONE, SEVEN_OR_NONE}
    assert set(at_scale[4].tolist()) == {NONE, SEVEN_OR_NONE}


@pytest.mark.parametrize(("view", "count"), [(FRAME, 300 + 80 + 20), (PART, 80 + 20), (CLOSE, 30)])
def test_the_number_of_cells_is_that_of_the_networks_answers(view: View, count: int) -> None:
    assert len(cells(view.height, view.width, view.levels)) == count

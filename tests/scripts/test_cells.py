"""Which cells of the image network have to name a digit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training.cells import IGNORED, LEVELS, cell_labels, cells
from training.scenes import CLOSE, FRAME
from training.specs import NONE

PLACES = cells(FRAME.height, FRAME.width, LEVELS)


def labels_of(box: tuple[float, float, float, float], digit: int) -> np.ndarray:
    return cell_labels(np.array([box], np.int16), np.array([digit]), PLACES)[0]


@given(
    height=st.floats(FRAME.lowest, FRAME.highest),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
)
def test_some_cell_names_a_digit_of_any_promised_size_anywhere(height: float, across: float, down: float) -> None:
    width = height * 0.6
    left, top = across * (FRAME.width - width), down * (FRAME.height - height)
    named = labels_of((left, top, left + width, top + height), 7)
    assert (named == 7).any()
    assert set(named.tolist()) <= {7, NONE, IGNORED}


def test_cells_far_away_and_frames_without_a_digit_say_none() -> None:
    named = labels_of((10, 10, 22, 30), 3)
    far = (PLACES[:, 0] > 80) & (PLACES[:, 2] == 1)
    assert (named[far] == NONE).all()
    assert (labels_of((0, 0, 0, 0), NONE) == NONE).all()


@pytest.mark.parametrize(("view", "levels", "count"), [(FRAME, 3, 300 + 80 + 20), (CLOSE, 1, 48)])
def test_there_are_as_many_cells_as_the_network_answers(view, levels: int, count: int) -> None:
    assert len(cells(view.height, view.width, levels)) == count

"""int8 against the float32 models it was made from: the same rows of both, and how many points lie between."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.progress import tell
from evaluation.rows import Row, at_most, plain

TWIN = Path("build/digits-float")
MOST = at_most(0.3)
FRACTIONS = ("F1", "error of the top score")
"""Rows that are parts of one rather than of a hundred."""


def lost_rows(int8: Sequence[Row], twin: Sequence[Row]) -> list[Row]:
    """What the int8 bundle lost in every share and every row with a target; below 0 it is the better one.

    Shares, F1 and calibration are compared in points. Counts and times keep their unit and have no target.
    """
    floats = {(row.what, row.condition): row for row in twin}
    return [
        _lost(row, floats[row.what, row.condition]) for row in int8 if row.hits is not None or row.target is not None
    ]


def _lost(row: Row, twin: Row) -> Row:
    better_is_more = row.target is None or row.target.at_least
    lost = twin.value - row.value if better_is_more else row.value - twin.value
    what = f"int8 against float: {row.what}"
    if row.unit in ("%", "points"):
        return plain(what, row.condition, lost, "points", MOST, row.count)
    if row.condition.endswith(FRACTIONS):
        return plain(what, row.condition, 100 * lost, "points", MOST, row.count)
    return plain(what, row.condition, lost, row.unit, None, row.count)


def has_twin() -> bool:
    """Whether there is a float32 bundle to compare with; says how to make it where not."""
    if not TWIN.is_dir():
        tell(f"int8 against float: left out, for there is no {TWIN}; scripts/train writes it")
    return TWIN.is_dir()

"""Compares int8 with the float32 models that it was converted from, row by row, in points."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.progress import report
from evaluation.rows import Row, at_most, plain

FLOAT_BUNDLE = Path("build/digits-float")
MOST = at_most(0.3)
# Conditions whose value is a fraction of 1, not a percentage.
FRACTIONS = ("F1", "error of the top score")


def lost_rows(int8: Sequence[Row], float_row: Sequence[Row]) -> list[Row]:
    """The loss of the int8 bundle in every share and every row with a target; below 0 int8 is better.

    Shares, F1 and calibration are compared in points. Counts and times stay in their unit and have no target.
    """
    floats = {(row.what, row.condition): row for row in float_row}
    return [
        _lost(row, floats[row.what, row.condition]) for row in int8 if row.hits is not None or row.target is not None
    ]


def _lost(row: Row, float_row: Row) -> Row:
    better_is_more = row.target is None or row.target.at_least
    lost = float_row.value - row.value if better_is_more else row.value - float_row.value
    what = f"int8 against float: {row.what}"
    if row.unit in ("%", "points"):
        return plain(what, row.condition, lost, "points", MOST, row.count)
    if row.condition.endswith(FRACTIONS):
        return plain(what, row.condition, 100 * lost, "points", MOST, row.count)
    return plain(what, row.condition, lost, row.unit, None, row.count)


def has_float_bundle() -> bool:
    """Whether there is a float32 bundle to compare with; prints how to make it if there is none."""
    if not FLOAT_BUNDLE.is_dir():
        report(f"quantized: skipped, because there is no float32 bundle in {FLOAT_BUNDLE}. scripts/train writes it.")
    return FLOAT_BUNDLE.is_dir()

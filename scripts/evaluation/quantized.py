"""int8 against the float32 models it was made from: the same rows of both, and how many points lie between."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.progress import tell
from evaluation.rows import Row, at_most, plain

TWIN = Path("build/digits-float")


def lost_rows(int8: Sequence[Row], twin: Sequence[Row]) -> list[Row]:
    """For every share how many points the int8 bundle lost; below 0 it is the better one."""
    floats = {(row.what, row.condition): row for row in twin}
    return [
        plain(f"int8 against float: {row.what}", row.condition, lost, "points", at_most(0.3), row.count)
        for row in int8
        if row.hits is not None
        for lost in [floats[row.what, row.condition].value - row.value]
    ]


def has_twin() -> bool:
    """Whether there is a float32 bundle to compare with; says how to make it where not."""
    if not TWIN.is_dir():
        tell(f"int8 against float: left out, for there is no {TWIN}; scripts/train writes it")
    return TWIN.is_dir()

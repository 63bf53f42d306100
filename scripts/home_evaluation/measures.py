"""How well levels tell items of a class from foreign ones. Pure functions; each raises InputError without items."""

from collections.abc import Sequence

import numpy as np

from daemon.core.errors import InputError
from daemon.core.records import Array64


def auroc(own: Array64, foreign: Array64) -> float:
    """The probability that an item of the class (n,) has a higher level than a foreign one (m,); a tie counts half."""
    _require(own, foreign)
    higher = np.count_nonzero(own[:, np.newaxis] > foreign)
    equal = np.count_nonzero(own[:, np.newaxis] == foreign)
    return float((higher + equal / 2) / (len(own) * len(foreign)))


def one_percent_level(foreign: Array64) -> float:
    """The level that 1 % of the foreign items exceed. Their number is rounded to whole items."""
    _require(foreign)
    exceeding = round(len(foreign) * 0.01)
    return float(np.sort(foreign)[::-1][exceeding])


def found(own: Array64, foreign: Array64) -> int:
    """How many items of the class exceed the level that 1 % of the foreign items exceed."""
    return int(np.count_nonzero(own > one_percent_level(foreign)))


def mean(values: Sequence[float]) -> float:
    """The mean."""
    _require(values)
    return float(np.mean(values))


def _require(*items: Sequence[float] | Array64) -> None:
    if not all(len(each) for each in items):
        raise InputError("too few clips, pictures or pairs are left to measure; choose a smaller --every")

"""Splits the data sets into a part for training, one for development and one for tests. Pure functions.

Encoders learn from `train`. The head, the thresholds and every choice between networks use `dev`. `test` is only
measured, after all choices are made.
"""

import hashlib
from typing import Literal

Part = Literal["train", "dev", "test"]

TEST_FOLD = 4
SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")
# The classes of ESC-50 under CC BY. What ships may be made by these alone; the others are for tests.
ESC10 = (
    "dog",
    "rooster",
    "rain",
    "sea_waves",
    "crackling_fire",
    "crying_baby",
    "sneezing",
    "clock_tick",
    "helicopter",
    "chainsaw",
)


def part_of_picture(index: int, count: int) -> Part:
    """The part of a handwritten digit: the last fifth is for tests, the tenth before it for development."""
    if index >= count * 4 // 5:
        return "test"
    return "dev" if index >= count * 7 // 10 else "train"


def part_of_recording(index: int) -> Part:
    """The part of a spoken digit, by its index for one speaker and digit: 0 to 4 are for tests, 5 to 9 for development.

    The data set uses the same test split.
    """
    if index < 5:
        return "test"
    return "dev" if index < 10 else "train"


def part_of_sound(fold: int, source: str) -> Part:
    """The part of another sound: one fold is for tests, about a fifth of the other recordings for development.

    Clips cut from the same recording share `source`, and are in the same part.
    """
    if fold == TEST_FOLD:
        return "test"
    return "dev" if hashlib.sha256(source.encode()).digest()[0] % 5 == 0 else "train"

"""Who sees what: every item of the data sets is for training, for development, or for tests. Pure functions.

Encoders learn from `train`; the head, thresholds and every choice between networks are made on `dev`; `test` is only
measured, once all is chosen.
"""

import hashlib
from typing import Literal

Part = Literal["train", "dev", "test"]

TEST_FOLD = 4
SPEAKERS = ("george", "jackson", "nicolas", "theo", "yweweler")


def part_of_picture(index: int, count: int) -> Part:
    """Handwritten digits: the last fifth is for tests, the tenth before it for development."""
    if index >= count * 4 // 5:
        return "test"
    return "dev" if index >= count * 7 // 10 else "train"


def part_of_recording(index: int) -> Part:
    """Spoken digits: 0 to 4 of every speaker and digit are the data set's own test split; 5 to 9 for development."""
    if index < 5:
        return "test"
    return "dev" if index < 10 else "train"


def part_of_sound(fold: int, source: str) -> Part:
    """Other sounds: one fold for tests, about a fifth of the recordings of the others for development.

    Clips cut from the same recording share `source` and stay together.
    """
    if fold == TEST_FOLD:
        return "test"
    return "dev" if hashlib.sha256(source.encode()).digest()[0] % 5 == 0 else "train"

"""The rule that turns levels into a label's bias, and a bias into the weight of sight. Pure functions."""

import math
from collections.abc import Sequence

import numpy as np

from daemon.core.records import Array64

# Labels for which a false start costs more than a missed one: none in an hour of speech or of music.
SAFETY = frozenset({"fire_alarm", "glass_breaking", "baby_crying", "siren"})
# Where there are clips of a label, misses are measured. It may start at this level or above: with clips of ESC-10, and
# with computed tones, which are cleaner than a real bell.
LEAST_RECORDED, LEAST_MADE = 3.6, 4.2
# Where there are none, nothing tells how far up the label's own clips reach, so its level is fixed.
UNMEASURED = 4.8
# The level lies this far above the highest foreign clip. These numbers give 4 % of false starts on ESC-10's folds 1
# and 2 where each class in turn is unknown to the rule.
MARGIN = 0.4
# Of speech and music this many clips may start a label that is not for safety.
ALLOWED_LONG = 1

# A sight alone starts a label at this score of its group, and a sense that is there and quiet counts against it.
SEEN_ALONE = 0.4
QUIET_SIGHT = -0.3


def start_level(label: str, least: float, recorded: Array64, long: Array64, noises: Array64) -> float:
    """Return the level at which a label starts, from the levels of foreign clips: ESC-10, speech and music, noises.

    `least` is one of the levels above, by which clips of the label there are.
    """
    if label in SAFETY:
        return max(UNMEASURED, _highest(recorded) + MARGIN, _highest(long) + MARGIN, _highest(noises) + MARGIN)
    if least == UNMEASURED:
        return UNMEASURED
    return max(least, _highest(recorded) + MARGIN, _highest(np.sort(long)[:-ALLOWED_LONG]) + MARGIN)


def sight_evidence(bias: float, floor: float, threshold: float, temperature: float) -> tuple[float, float]:
    """Return weight and offset of the evidence of sight, so that SEEN_ALONE starts the label."""
    needed = -bias + temperature * math.log(threshold / (1 - threshold)) - QUIET_SIGHT
    weight = round(needed / math.log(SEEN_ALONE / floor), 2)
    return weight, round(QUIET_SIGHT - weight * math.log(floor), 2)


def _highest(values: Array64 | Sequence[float]) -> float:
    return float(np.max(values, initial=-math.inf))

"""The rule that turns levels into a label's bias, and a bias into the weight of sight. Pure functions."""

import math
from collections.abc import Sequence

import numpy as np

from daemon.core.records import Array64

# Labels for which a false start costs more than a missed one: none in an hour of speech or of music.
SAFETY = frozenset({"fire_alarm", "glass_breaking", "baby_crying", "siren"})
# The least level at which a label may start: where ESC-10 has the label, so that misses are measured, and where not.
LEAST_MEASURED, LEAST, LEAST_SAFETY = 2.8, 4.2, 4.2
# The level lies this far above the highest foreign clip, because there are other foreign clips than these.
MARGIN = 0.4
# A single strange clip must not silence a label whose misses are not measured.
MOST = 4.8
# Of speech and music this many clips may start a label that is not for safety.
ALLOWED_LONG = 1

# A sight alone starts a label at this score of its group, and a sense that is there and quiet counts against it.
SEEN_ALONE = 0.4
QUIET_SIGHT = -0.3


def start_level(label: str, is_measured: bool, recorded: Array64, long: Array64, noises: Array64) -> float:
    """Return the level at which a label starts, from the levels of foreign clips: ESC-10, speech and music, noises."""
    if label in SAFETY:
        return max(LEAST_SAFETY, _highest(recorded) + MARGIN, _highest(long) + MARGIN, _highest(noises) + MARGIN)
    least = LEAST_MEASURED if is_measured else LEAST
    level = max(least, _highest(recorded) + MARGIN, _highest(np.sort(long)[:-ALLOWED_LONG]) + MARGIN)
    return level if is_measured else min(level, MOST)


def sight_evidence(bias: float, floor: float, threshold: float, temperature: float) -> tuple[float, float]:
    """Return weight and offset of the evidence of sight, so that SEEN_ALONE starts the label."""
    needed = -bias + temperature * math.log(threshold / (1 - threshold)) - QUIET_SIGHT
    weight = round(needed / math.log(SEEN_ALONE / floor), 2)
    return weight, round(QUIET_SIGHT - weight * math.log(floor), 2)


def _highest(values: Array64 | Sequence[float]) -> float:
    return float(np.max(values, initial=-math.inf))

"""Thresholds of a label from logits of rows that were held out, and what they cost in false alarms. Pure.

Beyond the highest background that was seen, the tail is taken to fall off exponentially. From it follows how often a
day background is expected to reach a level. Sounds that the place has never heard are not in this estimate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from daemon.core.records import Array, Array64
from daemon.teaching.report import Rate
from daemon.teaching.rows import EventTimes

# Two moments of background this far apart are two chances of a false alarm.
CHANCE_S = 10.0
CHANCES_A_DAY = 86_400 / CHANCE_S

STEP_S = 0.025

# The tail falls by a factor of ten within this part of the way from the highest background to the middle press, if the
# logits of background do not fall off faster.
GAP_A_DECADE = 0.2
SMALLEST_SCALE = 1e-3

# An interval of a rate reaches this factor to both sides, and the other one for each decade beyond the background too.
FACTOR_OF_COUNT = 5.0
FACTOR_OF_DECADE = 3.0
MOST_DECADES = 12


def sustained(scores: Array, times_ms: Sequence[int], events: EventTimes) -> Array:
    """Return the highest smoothed score (T) that a press holds for the shortest duration of an event.

    `scores` (n, T) are those of its moments, in the order of time. The smoothed score follows them as in events.
    A moment alone is a picture or a line from a file. What it shows stays: its score is not smoothed.
    """
    if len(times_ms) == 1:
        return np.asarray(scores[0], np.float32)
    times_s = np.array(times_ms) / 1000
    last_s = float(np.median(np.diff(times_s)))
    instants = np.arange(times_s[0], times_s[-1] + last_s + STEP_S / 2, STEP_S)
    moment = np.searchsorted(times_s, instants, side="right") - 1
    keep = math.exp(-STEP_S / events.smoothing_s) if events.smoothing_s else 0.0
    smoothed = np.zeros((len(instants), scores.shape[1]), np.float32)
    current = np.zeros(scores.shape[1], np.float32)
    for step, score in enumerate(scores[moment]):
        smoothed[step] = current
        current = score + (current - score) * np.float32(keep)
    width = round(events.min_duration_s / STEP_S) + 1
    if len(smoothed) <= width:
        return np.asarray(smoothed.min(axis=0), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(smoothed, width, axis=0)
    return np.asarray(windows.min(axis=-1).max(axis=0), np.float32)


@dataclass(frozen=True)
class Tail:
    """The tail of logits of background, from the highest down. Beyond them, their number falls as e^(-x / scale)."""

    ordered: Array64
    scale: float

    def level(self, probability: float) -> float:
        """Return the logit that is exceeded with this probability. It is not below the highest one."""
        return float(self.ordered[0]) - self.scale * min(0.0, math.log(probability * len(self.ordered)))

    def probability(self, level: float) -> float:
        """Return the probability that a logit exceeds a level: below the highest one as often as has been seen."""
        seen = max(1, int((self.ordered > level).sum()))
        return seen * math.exp(min(0.0, (float(self.ordered[0]) - level) / self.scale)) / len(self.ordered)

    def rate(self, level: float, hours: float) -> Rate:
        """Return how often a day background is expected to exceed a level."""
        expected = CHANCES_A_DAY * self.probability(level)
        # a rate of 0 is as sure as one of once in MOST_DECADES times the moments
        chances = max(self.probability(level) * len(self.ordered), 10.0**-MOST_DECADES)
        decades = max(0.0, -math.log10(chances))
        factor = FACTOR_OF_COUNT * FACTOR_OF_DECADE**decades
        return Rate(expected=expected, low=expected / factor, high=min(CHANCES_A_DAY, expected * factor), hours=hours)


def tail_of(logits: Array, middle: float) -> Tail:
    """Return the tail of held-out logits (n) of background, n at least 2. `middle` is the middle one of the presses."""
    ordered = np.sort(logits.astype(np.float64))[::-1]
    beyond = min(len(ordered) - 1, max(5, round(1.5 * math.sqrt(len(ordered)))))
    scale = float((ordered[:beyond] - ordered[beyond]).mean())
    if middle > ordered[0]:
        scale = min(scale, GAP_A_DECADE * (middle - float(ordered[0])) / math.log(10))
    return Tail(ordered, max(scale, SMALLEST_SCALE))


@dataclass(frozen=True)
class Scale:
    """Turns logits of a fit into those of the head: (logit - zero) / unit. Events keep theirs, so they compare."""

    zero: float = 0.0
    unit: float = 1.0

    def scores(self, logits: Array) -> Array:
        """Return the scores that the head gives."""
        return np.asarray(1 / (1 + np.exp(-np.clip((logits - self.zero) / self.unit, -40, 40))), np.float32)

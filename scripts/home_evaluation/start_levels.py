"""The start level of each label in a stream: the highest threshold at which an event of the label starts.

A start level holds for every threshold at once. So one run of a stream gives the whole curve of found against false.
The formulas are those of daemon.fusion.events. The smoothed score s follows the score p of the latest moment:
ds/dt = (p - s) / tau. An event starts once s has held the threshold for the minimum duration. Pure functions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.core.records import Array64
from daemon.fusion.events import EventSettings

Flags = NDArray[np.bool_]

# Levels are searched as logits. Beyond the highest one, float32 has no score but 1.
LOWEST_LOGIT, HIGHEST_LOGIT = -40.0, 17.0
STEPS = 40


@dataclass(frozen=True, slots=True)
class Track:
    """The scores of one stream: `scores[i]` (L,) hold from `times_ns[i]` to the next moment, or to `until_ns[i]`.

    At `until_ns[i]` the last embedding of moment i expires, and nothing is known any more.
    """

    times_ns: NDArray[np.int64]
    until_ns: NDArray[np.int64]
    scores: Array64


@dataclass(frozen=True, slots=True)
class _Segments:
    """Stretches in which the smoothed scores are monotonic: their lengths (n,), and values (n, L) at both ends.

    `forgets[i]`: after segment i all scores are forgotten.
    """

    length_ns: NDArray[np.int64]
    first: Array64
    last: Array64
    scores: Array64
    forgets: Flags


def start_levels(track: Track, settings: EventSettings) -> Array64:
    """The start level (L,) of each label; 0 where no threshold is low enough. `settings` must smooth."""
    labels = len(settings.labels)
    segments = _segments(track, settings.smoothing_ns)
    low, high = np.full(labels, LOWEST_LOGIT), np.full(labels, HIGHEST_LOGIT)
    for _ in range(STEPS):
        middle = (low + high) / 2
        starts = _longest_ns(segments, _logistic(middle), settings.smoothing_ns) >= settings.min_duration_ns
        low, high = np.where(starts, middle, low), np.where(starts, high, middle)
    return np.where(low == LOWEST_LOGIT, 0.0, _logistic(low))


def _segments(track: Track, smoothing_ns: int) -> _Segments:
    following_ns = np.append(track.times_ns[1:], np.iinfo(np.int64).max)
    length_ns = np.minimum(following_ns, track.until_ns) - track.times_ns
    forgets = track.until_ns < following_ns
    first, last = np.zeros_like(track.scores), np.zeros_like(track.scores)
    smoothed = np.zeros(track.scores.shape[1])
    for index, (score, kept) in enumerate(zip(track.scores, np.exp(-length_ns / smoothing_ns), strict=True)):
        first[index] = smoothed
        last[index] = score + (smoothed - score) * kept
        smoothed = np.zeros_like(smoothed) if forgets[index] else last[index]
    return _Segments(length_ns, first, last, track.scores, forgets)


def _longest_ns(segments: _Segments, threshold: Array64, smoothing_ns: int) -> Array64:
    """The longest time (L,) for which each smoothed score holds its threshold without a break; -1 where it never does.

    s(t) = p + (s - p) exp(-t / tau). So a threshold is crossed at t = tau ln((s - p) / (threshold - p)).
    """
    before, after = segments.first >= threshold, segments.last >= threshold
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (segments.first - segments.scores) / (threshold - segments.scores)
        crossing_ns = smoothing_ns * np.log(ratio)
    longest_ns = np.full(len(threshold), -1.0)
    held_ns = np.zeros(len(threshold))
    for held, begins, ends, at_ns, length_ns, forgets in _rows(segments, before, after, crossing_ns):
        held_ns = np.where(begins, length_ns - at_ns, np.where(held, held_ns + np.where(ends, at_ns, length_ns), 0.0))
        longest_ns = np.where(held | begins, np.maximum(longest_ns, held_ns), longest_ns)
        held_ns = np.where(forgets | ends, 0.0, held_ns)
    return longest_ns


def _rows(
    segments: _Segments, before: Flags, after: Flags, crossing_ns: Array64
) -> Iterator[tuple[Flags, Flags, Flags, Array64, float, bool]]:
    """Each segment: held at its start, begins in it, ends in it; the instant of crossing, its length, forgets."""
    rows = zip(before, after, crossing_ns, segments.length_ns, segments.forgets, strict=True)
    for held, holds, at_ns, length_ns, forgets in rows:
        yield held, ~held & holds, held & ~holds, at_ns, float(length_ns), bool(forgets)


def _logistic(logits: Array64) -> Array64:
    values: Array64 = 1 / (1 + np.exp(-logits))
    return values

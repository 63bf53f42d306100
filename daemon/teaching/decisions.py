"""What decides about each label: the scale of its logits, its thresholds by stream, and their false alarms. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from daemon.bundle.taught import TaughtLabel
from daemon.bundle.thresholds import Threshold
from daemon.core.records import Array
from daemon.teaching.held_out import others_of
from daemon.teaching.material import Material
from daemon.teaching.report import Rate
from daemon.teaching.rows import EventTimes, TrainingSet
from daemon.teaching.thresholds import CHANCE_S, CHANCES_A_DAY, Scale, sustained, tail_of

# An event ends at half the score at which it starts.
END_PART = 0.5
# A state is sure from START_OF_STATE on.
START_OF_STATE, END_OF_STATE = 0.5, 0.3
# A state starts this part of the way from what is another state, or none, to its middle press.
PART_TO_STATE = 0.45
# The middle press of a state is so many units above what decides: a score of 0.98.
UNITS_OF_STATE = 4.0
LOWEST_START, HIGHEST_START = 0.05, 0.95
# With exclusive scoring a label starts only where it is more likely than all others together.
LOWEST_EXCLUSIVE_START = 0.5
# No label starts further than this below its middle press, nor below 0 unless that is below 0: sounds that the place
# has never heard are mostly there.
ROOM_BELOW_MIDDLE = 2.0
# Events are smoothed by these times where the figures above were measured.
DEFAULT_TIMES = EventTimes()
# Smaller scores and logits are told apart no more: they are far below any start.
LEAST_HELD = 1e-3
LOWEST_LOGIT = -20.0
# A press that was held out has a lower logit than one that was learned from: so much in the middle.
COST_OF_UNSEEN = 2.5
# A label starts so much above each moment that was called wrong: the same sound is never cut into moments alike.
ABOVE_WRONG = 0.5

TENTH_OF_HOUR_S = 360.0


@dataclass(frozen=True)
class Decision:
    """How one label is decided. `rates` has the false alarms by stream; a state has none."""

    scale: Scale
    taught: TaughtLabel
    rates: Mapping[str, Rate]

    def start(self, stream: str) -> float:
        """Return the score that starts the label on a stream."""
        threshold = self.taught.threshold(stream)
        if threshold is None:  # a press on a stream whose background is too little yet
            threshold = max(self.taught.streams.values(), key=lambda each: each.start)
        return threshold.start


def decide(index: int, training: TrainingSet, material: Material, logits: Array, learned: Array) -> Decision:
    """Return the decision about one label. `logits` (N, T) are the held-out ones that decide.

    `learned` (N, T) are those of the head, which has learned from every row.
    """
    peaks = _peaks(index, material, logits)
    if material.labels[index].state_of is not None:
        return _decide_state(index, training, material, logits, peaks)
    wrong = learned[material.of_kind("wrong") & (material.label == index), index]
    above = float(wrong.max()) + ABOVE_WRONG if len(wrong) else -math.inf
    return _decide_event(index, training, material, logits, peaks, above)


def _decide_event(
    index: int, training: TrainingSet, material: Material, logits: Array, peaks: Array, above: float
) -> Decision:
    """A label starts above what its background reaches once in the wanted time, and at least at the logit `above`."""
    label = material.labels[index]
    background = material.of_kind("background") & material.applies[:, index]
    streams = np.array([row.stream for row in material.rows])
    middle = float(np.median(peaks)) - (COST_OF_UNSEEN if len(peaks) == 1 else 0.0)
    tails = {
        name: tail_of(logits[background & (streams == name), index], middle) for name in np.unique(streams[background])
    }
    probability = training.false_alarms_a_day / CHANCES_A_DAY / len(tails)
    floor_score = 1 / (1 + math.exp(-max(LOWEST_LOGIT, min(0.0, middle - ROOM_BELOW_MIDDLE))))
    lowest = LOWEST_EXCLUSIVE_START if training.scoring == "exclusive" else LOWEST_START
    starts = {}
    for name, tail in tails.items():
        floor = _logit(floor_score * _part_held(index, training.times_of(str(name)), material, logits))
        starts[str(name)] = _start(max(above, floor, tail.level(probability)), lowest)
    rates = {name: tails[name].rate(_logit(start), hours_of(training, name)) for name, start in starts.items()}
    thresholds = {name: Threshold(start=start, end=round(start * END_PART, 4)) for name, start in starts.items()}
    highest = max(thresholds.values(), key=lambda each: each.start) if label.everywhere else None
    return Decision(Scale(), TaughtLabel(streams=thresholds, everywhere=highest), rates)


def _decide_state(index: int, training: TrainingSet, material: Material, logits: Array, peaks: Array) -> Decision:
    """A state starts between its middle press and the highest of what is another state or none."""
    label = material.labels[index]
    threshold = Threshold(start=START_OF_STATE, end=END_OF_STATE)
    streams = dict.fromkeys(label.streams, threshold)
    taught = TaughtLabel(streams=streams, everywhere=threshold if label.everywhere else None, state_of=label.state_of)
    if training.scoring == "exclusive":
        return Decision(Scale(), taught, {})
    others = logits[others_of(material, index), index]
    middle = float(np.median(peaks))
    high = float(np.quantile(others, 0.95)) if len(others) else middle - 1
    zero = high + PART_TO_STATE * (middle - high)
    return Decision(Scale(zero, max(abs(middle - zero), 1e-2) / UNITS_OF_STATE), taught, {})


def hours_of(training: TrainingSet, stream: str) -> float:
    """Return the hours that the background of a stream covers, by tenths of an hour in which there is any.

    It covers no more than the time from its first moment to its last one.
    """
    times_s = [each.taken_s for each in training.background if each.stream == stream]
    spells = {time_s // TENTH_OF_HOUR_S for time_s in times_s}
    return min(len(spells) * TENTH_OF_HOUR_S, max(times_s) - min(times_s) + CHANCE_S) / 3600


def _peaks(index: int, material: Material, logits: Array) -> Array:
    """Return the highest logit of each press of a label."""
    return np.array([logits[material.press == press, index].max() for press in material.presses[index]], np.float32)


def _part_held(index: int, events: EventTimes, material: Material, logits: Array) -> float:
    """Return the part of the score that its presses hold with these times, of that which they hold with the default.

    Smoothing is linear in the score, so a sound that is as short as a press is smoothed by the same part. Background is
    not: a moment of it may last.
    """
    if events == DEFAULT_TIMES:
        return 1.0
    default, own = (_held(index, times, material, logits) for times in (DEFAULT_TIMES, events))
    return min(1.0, max(own, LEAST_HELD) / max(default, LEAST_HELD))


def _held(index: int, events: EventTimes, material: Material, logits: Array) -> float:
    """Return the score that the middle press of a label holds."""
    levels = []
    for press in material.presses[index]:
        rows = np.flatnonzero(material.press == press)
        times_ms = [material.rows[row].time_ms for row in rows.tolist()]
        levels.append(sustained(Scale().scores(logits[rows][:, [index]]), times_ms, events)[0])
    return float(np.median(levels))


def _start(level: float, lowest: float) -> float:
    return round(min(HIGHEST_START, max(lowest, 1 / (1 + math.exp(-min(40.0, max(LOWEST_LOGIT, level)))))), 4)


def _logit(score: float) -> float:
    return math.log(score / (1 - score))

"""Hours without alarms: speech, music and household noise. Counts the events of every label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from evaluation.rows import Row, at_most, plain

from daemon.bundle.manifest import Manifest
from daemon.core.records import Array
from home_evaluation.classes import Classes
from home_evaluation.material import CLIP_S, Clip, Sound
from home_evaluation.midi import rendered
from home_evaluation.music import INSTRUMENTS, compose
from home_evaluation.outcome import Outcome, outcomes
from home_evaluation.report import Cell, Part, Table
from home_evaluation.scenes import Scene
from home_evaluation.spoken import VOICES, speak, utterance

SEED = 20261201
# An hour is streamed in stretches of at most this length, several at the same time.
STRETCH_S = 300.0
ALARMS = ("fire_alarm", "glass_breaking", "baby_crying", "siren")
SENTENCES_A_TURN = 3
# The highest sample of a tune, as a share of full scale.
PEAK = (0.05, 0.9)
COLUMNS = ("label", "start threshold", "speech", "music", "household", "highest in speech", "highest in music")


@dataclass(frozen=True, slots=True)
class Speech:
    """Turns of all voices, one after the other."""

    seconds: float
    seed: int

    def samples(self, rate_hz: int) -> Array:
        """The speech: float32 (n,)."""
        rng, size = np.random.default_rng(self.seed), round(self.seconds * rate_hz)
        parts, length, turn = list[Array](), 0, int(rng.integers(len(VOICES)))
        while length < size:
            parts.append(speak(utterance(turn, SENTENCES_A_TURN, rng), rate_hz))
            length, turn = length + len(parts[-1]), turn + 1
        return np.concatenate(parts)[:size]


@dataclass(frozen=True, slots=True)
class Music:
    """Tunes one after the other. Instruments come in a random order, each once before any comes again."""

    seconds: float
    seed: int

    def samples(self, rate_hz: int) -> Array:
        """The music: float32 (n,). Raises InputError when it cannot be rendered."""
        rng, size = np.random.default_rng(self.seed), round(self.seconds * rate_hz)
        parts, length, programs = list[Array](), 0, list[int]()
        while length < size:
            if len(programs) < 3:
                programs += [int(program) for program in rng.permutation(INSTRUMENTS)]
            tune, programs = compose(rng, programs[:3]), programs[3:]
            samples = rendered(tune, rate_hz)
            parts.append(samples * np.float32(rng.uniform(*PEAK) / np.max(np.abs(samples))))
            length += len(samples)
        return np.concatenate(parts)[:size]


@dataclass(frozen=True, slots=True)
class Household:
    """Clips of all classes in a row, without a pause."""

    clips: Sequence[Clip]

    def samples(self, rate_hz: int) -> Array:
        """The noise: float32 (n,). Each clip lasts CLIP_S."""
        size = round(CLIP_S * rate_hz)
        return np.concatenate([np.resize(clip.samples(rate_hz), size) for clip in self.clips])


def hours_part(
    bundle: Path, manifest: Manifest, clips: Mapping[str, Sequence[Clip]], classes: Classes, hours: float
) -> Part:
    """The rows and the table of the part `hours`: `hours` of speech, as much of music, and the clips as noise."""
    lengths_s = stretches(hours * 3600)
    speech = [Speech(length_s, SEED + index) for index, length_s in enumerate(lengths_s)]
    music = [Music(length_s, SEED + index) for index, length_s in enumerate(lengths_s)]
    noise = household(clips, hours)
    sounds: list[Sound] = [*speech, *music, *noise]
    measured = outcomes(bundle, [Scene(sound) for sound in sounds], "hours")
    kinds = {
        "speech": measured[: len(speech)],
        "music": measured[len(speech) : len(speech) + len(music)],
        "household": measured[len(speech) + len(music) :],
    }
    counts = {name: _events(kinds[name]) for name in ("speech", "music")}
    counts["household"] = _false_events(noise, kinds["household"], classes)
    lengths_h = {"speech": hours, "music": hours, "household": sum(len(one.clips) for one in noise) * CLIP_S / 3600}
    alarms = [label for label in ALARMS if label in manifest.labels]
    rows = [*_alarm_rows(alarms, counts, hours), *_total_rows(counts, lengths_h)]
    return Part(rows, [_table(manifest, kinds, counts, lengths_h)])


def stretches(seconds: float) -> list[float]:
    """The lengths of the stretches of `seconds`, each of at most STRETCH_S and all alike."""
    count = int(np.ceil(seconds / STRETCH_S))
    return [seconds / count] * count


def household(clips: Mapping[str, Sequence[Clip]], hours: float) -> list[Household]:
    """The clips in random order, in stretches; at most `hours` of them."""
    every = [clip for of_class in clips.values() for clip in of_class]
    count = min(len(every), max(1, round(hours * 3600 / CLIP_S)))
    chosen = [every[index] for index in np.random.default_rng(SEED).permutation(len(every))[:count]]
    size = round(STRETCH_S / CLIP_S)
    return [Household(tuple(chosen[start : start + size])) for start in range(0, count, size)]


def _events(measured: Sequence[Outcome]) -> Counter[str]:
    return Counter(event.label for outcome in measured for event in outcome.events)


def _false_events(noise: Sequence[Household], measured: Sequence[Outcome], classes: Classes) -> Counter[str]:
    """The events that are right neither in the clip in which their label appears, nor in the one before it."""
    found = Counter[str]()
    for one, outcome in zip(noise, measured, strict=True):
        own = [classes.of(clip.name) for clip in one.clips]
        around = [(own[0], own[0]), *pairwise(own)]
        for event in outcome.events:
            index = min(int(event.started_s / CLIP_S), len(own) - 1)
            found[event.label] += not any(each.allows(event.label) for each in around[index])
    return found


def _alarm_rows(alarms: Sequence[str], counts: Mapping[str, Counter[str]], hours: float) -> list[Row]:
    return [
        plain("hours", f"{hours:g} h of {name}: events of {label}", counts[name][label], "", at_most(0))
        for name in ("speech", "music")
        for label in alarms
    ]


def _total_rows(counts: Mapping[str, Counter[str]], lengths_h: Mapping[str, float]) -> list[Row]:
    rows = []
    for name, of_label in counts.items():
        false = sum(count for label, count in of_label.items() if label != name)
        rows.append(plain("hours", f"{lengths_h[name]:.2f} h of {name}: false events an hour", false / lengths_h[name]))
    return rows


def _table(
    manifest: Manifest,
    kinds: Mapping[str, Sequence[Outcome]],
    counts: Mapping[str, Counter[str]],
    lengths_h: Mapping[str, float],
) -> Table:
    """The events of each label an hour; the labels of alarms with the highest level that they reach."""
    rows = []
    for index, label in enumerate(manifest.labels):
        if label not in ALARMS and not any(of_label[label] for of_label in counts.values()):
            continue
        rates = [round(of_label[label] / lengths_h[name], 1) for name, of_label in counts.items()]
        highest = [max(float(each.levels[index]) for each in kinds[name]) for name in ("speech", "music")]
        cells: list[Cell] = [*rates, *(round(level, 4) for level in highest)]
        rows.append([label, manifest.thresholds.of(label).start, *cells])
    return Table("Events an hour; of household noise only false ones", COLUMNS, rows)

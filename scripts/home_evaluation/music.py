"""Composes tunes by chance: chords, a melody, a bass and drums, for the instruments of General MIDI."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

BARS = 16
BEATS_A_BAR = 4
# General MIDI's programs below this one are instruments; the others are effects such as a telephone or a helicopter.
INSTRUMENTS = 112
DRUMS = 9
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))
# Degrees of the scale on which the chords of four bars stand.
PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (0, 3, 4, 0), (5, 3, 0, 4), (0, 6, 5, 4), (1, 4, 0, 5))
RHYTHMS = ((1.0, 1.0, 1.0, 1.0), (1.5, 0.5, 1.0, 1.0), (0.5,) * 8, (2.0, 1.0, 1.0), (1.0, 0.5, 0.5, 2.0), (4.0,))
KICK, SNARE, HI_HAT = 36, 38, 42


@dataclass(frozen=True, slots=True)
class Note:
    """One note: when it begins and how long it lasts, in beats; key and velocity as in MIDI."""

    channel: int
    begin: float
    beats: float
    key: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Tune:
    """A tune at `beats_a_minute`, with the General MIDI program of each channel but the drums."""

    beats_a_minute: float
    programs: Sequence[int]
    notes: Sequence[Note]


def compose(rng: np.random.Generator, programs: Sequence[int]) -> Tune:
    """A tune of BARS bars for three instruments: melody, chords and bass, in channels 0 to 2; often with drums."""
    scale, progression = SCALES[rng.integers(len(SCALES))], PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    root = int(rng.integers(48, 60))
    chords = [progression[bar % len(progression)] for bar in range(BARS)]
    notes = [
        *_melody(rng, scale, root + 12, chords),
        *_accompaniment(rng, scale, root, chords),
        *_bass(rng, scale, root - 12, chords),
    ]
    if rng.random() < 2 / 3:
        notes += _drums(rng)
    return Tune(float(rng.uniform(66, 160)), programs, sorted(notes, key=lambda note: note.begin))


def _key(scale: Sequence[int], root: int, degree: int) -> int:
    octave, step = divmod(degree, len(scale))
    return root + 12 * octave + scale[step]


def _melody(rng: np.random.Generator, scale: Sequence[int], root: int, chords: Sequence[int]) -> Iterator[Note]:
    """Steps of the scale, with a note of the chord at the beginning of each bar, and some rests."""
    degree = 0
    for bar, chord in enumerate(chords):
        begin = float(bar * BEATS_A_BAR)
        degree = chord % 7 + 2 * int(rng.integers(3))
        for beats in RHYTHMS[rng.integers(len(RHYTHMS))]:
            if rng.random() > 0.12:
                yield Note(0, begin, beats * 0.95, _key(scale, root, degree), int(rng.integers(75, 115)))
            begin += beats
            degree = int(np.clip(degree + rng.integers(-2, 3), -3, 11))


def _accompaniment(rng: np.random.Generator, scale: Sequence[int], root: int, chords: Sequence[int]) -> Iterator[Note]:
    """The chords of the bars, either held or broken into eighths."""
    broken = rng.random() < 0.5
    for bar, chord in enumerate(chords):
        keys = [_key(scale, root, chord + step) for step in (0, 2, 4)]
        begin, velocity = float(bar * BEATS_A_BAR), int(rng.integers(50, 85))
        if broken:
            yield from (Note(1, begin + eighth / 2, 0.5, keys[eighth % 3], velocity) for eighth in range(8))
        else:
            yield from (Note(1, begin, BEATS_A_BAR * 0.95, key, velocity) for key in keys)


def _bass(rng: np.random.Generator, scale: Sequence[int], root: int, chords: Sequence[int]) -> Iterator[Note]:
    beats = float(rng.choice([0.5, 1.0, 2.0]))
    for bar, chord in enumerate(chords):
        for count in range(round(BEATS_A_BAR / beats)):
            degree = chord if count % 2 == 0 else chord + int(rng.choice([0, 2, 4]))
            yield Note(2, bar * BEATS_A_BAR + count * beats, beats * 0.9, _key(scale, root, degree), 90)


def _drums(rng: np.random.Generator) -> Iterator[Note]:
    """Kick on the first and third beat, snare on the others, hi-hat in eighths; some strokes are left out."""
    for beat in range(BARS * BEATS_A_BAR):
        strokes = ((beat + 0.0, SNARE if beat % 2 else KICK, 100), (beat + 0.0, HI_HAT, 70), (beat + 0.5, HI_HAT, 60))
        yield from (Note(DRUMS, at, 0.2, key, velocity) for at, key, velocity in strokes if rng.random() > 0.05)

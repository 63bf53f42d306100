"""Music of our own: pieces composed by chance, written as MIDI files and rendered with fluidsynth."""

import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibration.hearing import RATE_HZ
from calibration.speech import read_wave
from daemon.core.records import Array

# Debian's packages fluid-soundfont-gm and timgm6mb-soundfont.
SOUND_FONTS = (Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), Path("/usr/share/sounds/sf2/TimGM6mb.sf2"))
TICKS = 480
DRUMS = 9
# General MIDI's programs up to 111 are instruments; those above are drums and sound effects such as a telephone.
INSTRUMENTS = 112
PROGRESSIONS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 4, 5, 3), (5, 3, 0, 4), (0, 1, 4, 0), (0, 2, 3, 4))
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)


@dataclass(slots=True)
class Track:
    """The notes of one MIDI channel: (tick, message)."""

    channel: int
    events: list[tuple[int, bytes]] = field(default_factory=list)

    def program(self, number: int) -> None:
        """Choose the instrument."""
        self.events.append((0, bytes((0xC0 | self.channel, number))))

    def note(self, tick: int, length: int, pitch: int, loudness: int) -> None:
        """Play one note."""
        self.events.append((tick, bytes((0x90 | self.channel, pitch, loudness))))
        self.events.append((tick + length, bytes((0x80 | self.channel, pitch, 0))))

    def chunk(self, tempo_us: int) -> bytes:
        """Return the track as a chunk of a MIDI file."""
        data, now = b"\x00\xff\x51\x03" + tempo_us.to_bytes(3, "big"), 0
        for tick, message in sorted(self.events, key=_tick):
            data += _variable_length(tick - now) + message
            now = tick
        data += b"\x00\xff\x2f\x00"
        return b"MTrk" + len(data).to_bytes(4, "big") + data


def piece(seconds: float, rng: np.random.Generator) -> Array:
    """Return `seconds` of music: float32 (n,) at RATE_HZ. Tempo, key, instruments and drums are chosen by chance."""
    beats_per_minute = rng.uniform(60, 160)
    bars = int(np.ceil(seconds * beats_per_minute / 60 / 4)) + 1
    tracks = _compose(bars, rng)
    tempo_us = int(60e6 / beats_per_minute)
    header = b"MThd" + (6).to_bytes(4, "big") + b"\x00\x01" + len(tracks).to_bytes(2, "big") + TICKS.to_bytes(2, "big")
    midi = header + b"".join(track.chunk(tempo_us) for track in tracks)
    music = render(midi, SOUND_FONTS[rng.integers(len(SOUND_FONTS))])[: int(seconds * RATE_HZ)]
    return music * np.float32(rng.uniform(0.1, 0.9) / max(1e-3, np.abs(music).max()))


def render(midi: bytes, sound_font: Path) -> Array:
    """Return a MIDI file as sound: float32 (n,) at RATE_HZ."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        score.write_bytes(midi)
        command = ["fluidsynth", "-n", "-i", "-q", "-r", "32000", "-T", "wav", "-F", sound, sound_font, score]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return read_wave(sound.read_bytes())


def _compose(bars: int, rng: np.random.Generator) -> list[Track]:
    scale, key = (MAJOR, MINOR)[rng.integers(2)], int(rng.integers(48, 60))
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    melody, chords, bass, drums = Track(0), Track(1), Track(2), Track(DRUMS)
    for track in (melody, chords, bass):
        track.program(int(rng.integers(INSTRUMENTS)))
    has_drums, has_bass, has_chords = rng.random(3) < (0.5, 0.7, 0.8)
    degree = 0
    for bar in range(bars):
        start, root = bar * 4 * TICKS, progression[bar % len(progression)]
        if has_chords:
            for step in (0, 2, 4):
                chords.note(start, 4 * TICKS - 20, key + _pitch(scale, root + step), 70)
        tick = start
        while tick < start + 4 * TICKS:
            length = int(rng.choice((TICKS // 2, TICKS, 2 * TICKS)))
            degree = int(np.clip(degree + rng.integers(-2, 3), -3, 9))
            melody.note(tick, length - 10, key + 12 + _pitch(scale, degree), int(rng.integers(70, 110)))
            tick += length
        for beat in range(4):
            at = start + beat * TICKS
            if has_bass:
                bass.note(at, TICKS - 10, key - 12 + _pitch(scale, root), 90)
            if has_drums:
                drums.note(at, TICKS // 4, 36 if beat % 2 == 0 else 38, 100)
                drums.note(at + TICKS // 2, TICKS // 4, 42, 80)
    return [melody, chords, bass, drums]


def _pitch(scale: tuple[int, ...], degree: int) -> int:
    return scale[degree % len(scale)] + 12 * (degree // len(scale))


def _tick(event: tuple[int, bytes]) -> int:
    return event[0]


def _variable_length(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))

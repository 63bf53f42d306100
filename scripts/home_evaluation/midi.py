"""Writes tunes as Standard MIDI Files, and renders them with fluidsynth and a sound font."""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from daemon.core.errors import InputError
from daemon.core.records import Array
from daemon.sources.container import read_sound
from home_evaluation.music import Tune

FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
NEEDED = "expected fluidsynth and its sound font. Debian: apt-get install fluidsynth timgm6mb-soundfont"
TICKS_A_BEAT = 480
RENDER_TIMEOUT_S = 120


def midi_file(tune: Tune) -> bytes:
    """The tune as a Standard MIDI File of format 0."""
    tempo = struct.pack(">I", round(60_000_000 / tune.beats_a_minute))[1:]
    messages = [(0, b"\xff\x51\x03" + tempo)]
    messages += [(0, bytes((0xC0 | channel, program))) for channel, program in enumerate(tune.programs)]
    notes = []
    for note in tune.notes:
        begin, end = round(note.begin * TICKS_A_BEAT), round((note.begin + note.beats) * TICKS_A_BEAT)
        notes.append((begin, bytes((0x90 | note.channel, note.key, note.velocity))))
        notes.append((end, bytes((0x80 | note.channel, note.key, 0))))
    track = _track([*messages, *sorted(notes)])
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_A_BEAT) + b"MTrk" + struct.pack(">I", len(track)) + track


def check_renderer() -> None:
    """Raises InputError when fluidsynth or the sound font is missing."""
    if shutil.which("fluidsynth") is None:
        raise InputError(f"fluidsynth was not found; {NEEDED}")
    if not FONT.is_file():
        raise InputError(f"{FONT} was not found; {NEEDED}")


def rendered(tune: Tune, rate_hz: int) -> Array:
    """The sound of the tune: float32 (n,). Raises InputError when it cannot be rendered."""
    check_renderer()
    with tempfile.TemporaryDirectory() as directory:
        score, sound = Path(directory, "tune.mid"), Path(directory, "tune.wav")
        score.write_bytes(midi_file(tune))
        command = ["fluidsynth", "-n", "-i", "-q", "-r", "44100", "-T", "wav", "-F", str(sound), str(FONT), str(score)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RENDER_TIMEOUT_S, check=False)
        if done.returncode != 0 or not sound.is_file():
            raise InputError(f"fluidsynth failed with exit code {done.returncode}: {done.stderr.strip()}")
        return read_sound(sound, rate_hz)


def _track(messages: Iterable[tuple[int, bytes]]) -> bytes:
    """The messages at their times in ticks, which ascend, and the end of the track."""
    content, before = bytearray(), 0
    for at, message in messages:
        content += _variable_length(at - before) + message
        before = at
    return bytes(content) + _variable_length(TICKS_A_BEAT) + b"\xff\x2f\x00"


def _variable_length(value: int) -> bytes:
    """A number in groups of 7 bits; all bytes but the last have the highest bit set."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))

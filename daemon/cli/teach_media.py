"""Sounds, pictures and texts in files, as windows of what a stream might have captured."""

import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError
from daemon.core.files import read_bounded
from daemon.core.records import Array, Block, Captured, Line, Modality
from daemon.core.timing import NS_PER_S
from daemon.pipeline.recent import Window, lead_ns
from daemon.sources.container import read_picture, read_sound

# of a sound that is longer, the loudest part of this length is the example
MAX_EXAMPLE_S = 5.0

BLOCK_S = 0.02

# the steps in which the loudest part is looked for
STEP_S = 0.1

# A sound that is so little longer is taken as a whole.
SLACK_S = 0.1

# A short sound is taken with what is around it, up to this length.
LEAST_S = 2.0

# Recordings are often filled up with silence at both ends: the lowest three bits of 16.
MAX_SILENCE = 8 / 32768

MAX_TEXT_BYTES = 4096

FILE_OF: Mapping[Modality, str] = {"image": "a picture", "audio": "a sound", "text": "a text"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file shows, and a remark on which part of it was taken."""

    window: Window
    remark: str | None = None


def example_in(path: Path, manifest: Manifest) -> Shown:
    """Return the window of an example: all of a file, or the loudest 5 s of a long sound. Raises InputError."""
    kind = _usable_kind(path, manifest)
    if kind != "audio":
        return Shown(_still(path, kind))
    sound, rate_hz = _sound(path, manifest), manifest.sample_rate_hz or 1
    begin, end = audible(sound, rate_hz)
    start, stop = loudest(sound[begin:end], rate_hz)
    remark = None
    if stop - start < end - begin:
        at_s = (begin + start) / rate_hz
        remark = f"the loudest {MAX_EXAMPLE_S:g} s of {len(sound) / rate_hz:.1f} s, from {at_s:.1f} s on"
    return Shown(_heard(sound[begin + start : begin + stop], manifest, with_lead=True), remark)


def background_in(path: Path, manifest: Manifest) -> Shown:
    """Return the window of a file that shows the place: all of it. Raises InputError."""
    kind = _usable_kind(path, manifest)
    return Shown(_heard(_sound(path, manifest), manifest, with_lead=False) if kind == "audio" else _still(path, kind))


def kind_of(path: Path) -> Modality:
    """Return the sense that a file is for: `image`, `text`, or else `audio`, by the ending of its name."""
    guessed = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    return "image" if guessed == "image" else "text" if guessed == "text" else "audio"


def audible(sound: Array, rate_hz: int) -> tuple[int, int]:
    """Return the first sample of a sound (n,) that is not silent, and the one behind the last; all if it is silent.

    A part that is shorter than LEAST_S is made longer, as far as the sound allows that.
    """
    loud = np.flatnonzero(np.abs(sound) >= MAX_SILENCE)
    if not len(loud):
        return 0, len(sound)
    begin, end = int(loud[0]), int(loud[-1]) + 1
    missing = max(0, round(LEAST_S * rate_hz) - (end - begin))
    return max(0, begin - missing // 2), min(len(sound), end + missing - missing // 2)


def loudest(sound: Array, rate_hz: int) -> tuple[int, int]:
    """Return the first sample of the loudest part of a sound (n,), and the one behind its last."""
    size = round(MAX_EXAMPLE_S * rate_hz)
    if len(sound) <= size + SLACK_S * rate_hz:
        return 0, len(sound)
    energy = np.concatenate(([0.0], np.cumsum(sound.astype(np.float64) ** 2)))
    starts = np.arange(0, len(sound) - size + 1, max(1, round(STEP_S * rate_hz)))
    start = int(starts[np.argmax(energy[starts + size] - energy[starts])])
    return start, start + size


def _usable_kind(path: Path, manifest: Manifest) -> Modality:
    """Return the sense that a file is for. Raises InputError where there is no file, or the bundle lacks the sense."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    kind = kind_of(path)
    if kind not in manifest.senses:
        raise InputError(f"{path}: {FILE_OF[kind]}, and the bundle {manifest.id} has no encoder for that")
    return kind


def _sound(path: Path, manifest: Manifest) -> Array:
    return read_sound(path, manifest.sample_rate_hz or 1)


def _heard(sound: Array, manifest: Manifest, *, with_lead: bool) -> Window:
    """Return the window of a sound. With a lead, silence comes before it, so that its first second counts too."""
    rate_hz = manifest.sample_rate_hz or 1
    lead = lead_ns(manifest)["audio"] if with_lead else 0
    quiet = np.zeros(lead * rate_hz // NS_PER_S, np.float32)
    items = list(_blocks(np.concatenate((quiet, sound)), rate_hz))
    return Window(items, lead, items[-1].end_ns if items else lead)


def _blocks(samples: Array, rate_hz: int) -> Sequence[Block]:
    size = round(BLOCK_S * rate_hz)
    return [
        Block(samples[start : start + size], rate_hz, start * NS_PER_S // rate_hz)
        for start in range(0, len(samples), size)
    ]


def _still(path: Path, kind: Modality) -> Window:
    item: Captured
    if kind == "image":
        item = read_picture(path)
    else:
        try:
            item = Line(read_bounded(path, MAX_TEXT_BYTES).decode("utf-8").strip(), 0)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
    return Window([item], 0, NS_PER_S)

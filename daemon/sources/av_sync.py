"""Writes a clip of flashes and beeps, to be shown to a camera and a microphone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice
from pathlib import Path

import av
import numpy as np

from daemon.core.errors import Refused
from daemon.core.records import Array, Array64, Block, Frame
from daemon.core.timing import NS_PER_MS, NS_PER_S

BEEP_HZ = 1000
"""What every telephone's speaker and every microphone can do."""

INTERVALS_S = (0.8, 1.2, 1.6, 1.0, 1.4)
"""From one flash to the next, again and again: within reach no shift but the right one fits more than one in five."""

SEGMENTS_PER_S = 200
"""Of 5 ms each: five periods of a beep."""

EVERY_PIXELS = 4
"""Of so many rows and columns one is enough for the brightness of a picture."""

LEAST_STEP = 4.0
"""Of 255: a flash is at least so much brighter than the picture before."""

LEAST_LEVEL = 0.002
"""Of full scale, -54 dB: a beep is at least so much louder than the sound before."""

SPREADS = 8
"""What rises by so many median deviations is no noise; of those downwards, in which no earlier flash or beep counts."""

BEFORE_NS = 2 * NS_PER_S
SETTLED_NS = NS_PER_S // 2
"""What was before an onset is known from two seconds, and from half a second at least."""

PEAK_NS = 100 * NS_PER_MS
"""A flash or beep is at its full height within this time; its onset is where it comes to half of it."""

APART_NS = 300 * NS_PER_MS
"""Flashes and beeps do not come faster."""

REACH_NS = 2 * NS_PER_S
"""How far sound may be off."""

MATCH_NS = 100 * NS_PER_MS
"""A pair may be off by this against the others: a camera that takes ten pictures a second sees flashes so late."""

LEAST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class Pairing:
    """How many flashes have their beep, and by how much the beeps come later: the median, the largest distance from it.

    `is_clear` says that there are enough, and that no other offset does nearly as well.
    """

    pairs: int
    offset_ns: int
    spread_ns: int
    is_clear: bool


def brightness(frame: Frame) -> float:
    """The mean of the picture's brightness, 0 to 255."""
    return float(frame.planes[0][::EVERY_PIXELS, ::EVERY_PIXELS].mean())


def find_flashes(seen: Iterable[tuple[int, float]]) -> list[int]:
    """When flashes begin, from the times and brightnesses of pictures."""
    return _onsets(list(seen), LEAST_STEP)


def find_beeps(blocks: Iterable[Block]) -> list[int]:
    """When beeps of BEEP_HZ begin."""
    return _onsets([level for block in blocks for level in _levels(block)], LEAST_LEVEL)


def pair(flashes_ns: Sequence[int], beeps_ns: Sequence[int]) -> Pairing | None:
    """The offset of the beeps under which most flashes have one; None when there is none within REACH_NS."""
    later_ns = np.array(beeps_ns, np.int64)[None, :] - np.array(flashes_ns, np.int64)[:, None]
    candidates = np.unique(later_ns[np.abs(later_ns) <= REACH_NS])
    if not len(candidates):
        return None
    counts = np.array([len(_matches(later_ns, candidate)) for candidate in candidates])
    # of those that do equally well, the one in the middle
    best = np.flatnonzero(counts == counts.max())
    chosen = candidates[best[len(best) // 2]]
    matches = _matches(later_ns, chosen)
    offset_ns = int(np.median(matches))
    others = counts[np.abs(candidates - chosen) > 2 * MATCH_NS]
    runner_up = int(others.max()) if len(others) else 0
    return Pairing(
        pairs=len(matches),
        offset_ns=offset_ns,
        spread_ns=int(np.abs(matches - offset_ns).max()),
        is_clear=len(matches) >= LEAST_PAIRS and 2 * runner_up <= len(matches),
    )


def _matches(later_ns: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", offset_ns: int) -> Array64:
    """For every flash that has a beep near the offset, how much later the nearest one comes."""
    nearest = np.abs(later_ns - offset_ns).argmin(axis=1)
    later: Array64 = later_ns[np.arange(len(later_ns)), nearest].astype(np.float64)
    return later[np.abs(later - offset_ns) <= MATCH_NS]


def _levels(block: Block) -> list[tuple[int, float]]:
    """The start of each segment of the block, and the amplitude around BEEP_HZ in it: 0 to 1."""
    length = block.sample_rate_hz // SEGMENTS_PER_S
    count = len(block.samples) // length
    segments: Array = block.samples[: count * length].reshape(count, length)
    tone = np.exp(-2j * np.pi * BEEP_HZ / block.sample_rate_hz * np.arange(length))
    amplitudes = np.abs(segments @ tone) * 2 / length
    return [
        (block.start_ns + number * length * NS_PER_S // block.sample_rate_hz, float(amplitude))
        for number, amplitude in enumerate(amplitudes)
    ]


def _onsets(seen: list[tuple[int, float]], least: float) -> list[int]:
    """When the values rise steeply above what they were before, from times in order and values."""
    if not seen:
        return []
    at_ns, values = np.array([at for at, _ in seen], np.int64), np.array([value for _, value in seen])
    begins = np.searchsorted(at_ns, at_ns - BEFORE_NS)
    onsets: list[int] = []
    was_above = True
    for now in range(int(np.searchsorted(at_ns, at_ns[0] + SETTLED_NS)), len(values)):
        before = values[begins[now] : now]
        floor = np.median(before) if len(before) else values[now]
        step = values[now] - floor
        is_above = step > least and step > SPREADS * np.median(floor - before[before <= floor])
        if is_above and not was_above and not (onsets and at_ns[now] - onsets[-1] < APART_NS):
            peak = values[now : np.searchsorted(at_ns, at_ns[now] + PEAK_NS)].max()
            first = now + int(np.argmax(values[now:] >= (floor + peak) / 2))
            onsets.append(int(at_ns[first]))
        was_above = bool(is_above)
    return onsets


FPS = 30
SIZE = (320, 180)
RATE_HZ = 48_000
LASTS_S = 0.15
"""A flash and a beep: long enough for a camera that takes ten pictures a second."""

FLASHES = 49
LENGTH_S = 60
AAC_SAMPLES = 1024


def write_flash_clip(path: Path) -> None:
    """A minute of MP4: a black picture that flashes white, each time with a beep. Raises Refused."""
    begins_s = list(accumulate(islice(cycle(INTERVALS_S), FLASHES)))
    try:
        with av.open(str(path), "w", format="mp4") as clip:
            video, audio = clip.add_stream("libx264", rate=FPS), clip.add_stream("aac", rate=RATE_HZ)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
            video.options = {"preset": "ultrafast", "bf": "0"}
            audio.layout = "mono"
            _write_pictures(clip, video, begins_s)
            _write_sound(clip, audio, begins_s)
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or type(error).__name__
        raise Refused(f"{path}: cannot be written: {reason}") from error


def _write_pictures(clip: av.container.OutputContainer, video: av.VideoStream, begins_s: list[float]) -> None:
    frames_s = np.arange(LENGTH_S * FPS) / FPS
    for number, bright in enumerate(_is_on(frames_s, begins_s)):
        pixels = np.full((SIZE[1], SIZE[0], 3), 255 if bright else 0, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        clip.mux(video.encode(frame))
    clip.mux(video.encode())


def _write_sound(clip: av.container.OutputContainer, audio: av.AudioStream, begins_s: list[float]) -> None:
    samples_s = np.arange(LENGTH_S * RATE_HZ) / RATE_HZ
    tone = 0.7 * np.sin(2 * np.pi * BEEP_HZ * samples_s) * _is_on(samples_s, begins_s)
    for start in range(0, len(tone), AAC_SAMPLES):
        part = tone[None, start : start + AAC_SAMPLES].astype(np.float32)
        sound = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = RATE_HZ, start
        clip.mux(audio.encode(sound))
    clip.mux(audio.encode())


def _is_on(at_s: Array64, begins_s: list[float]) -> Array64:
    """1 during each flash, 0 between."""
    # half a sample of the finer of both, so that rounding makes no flash a frame late
    since_s = at_s[:, None] + 0.5 / RATE_HZ - np.array(begins_s)
    is_on: Array64 = np.any((since_s >= 0) & (since_s < LASTS_S), axis=1).astype(np.float64)
    return is_on

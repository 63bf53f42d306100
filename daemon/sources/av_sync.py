"""Measures the offset of sound against picture, by a clip of flashes and beeps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, islice
from pathlib import Path

import av
import numpy as np

from daemon.core.errors import Refused
from daemon.core.records import Array, Array64, Block, Frame
from daemon.core.timing import NS_PER_MS, NS_PER_S

# Every speaker of a telephone and every microphone has this frequency.
BEEP_HZ = 1000

# The intervals between flashes, repeated. No wrong offset within reach fits more than one flash in five.
INTERVALS_S = (0.8, 1.2, 1.6, 1.0, 1.4)

# A segment of 5 ms holds five periods of a beep.
SEGMENTS_PER_S = 200

# The brightness of a picture is measured on every fourth row and column.
EVERY_PIXELS = 4

# A flash is at least this much brighter than the pictures before, of 255.
MIN_FLASH_STEP = 4.0

# A beep is at least this much louder than the sound before, of full scale: -54 dB.
MIN_BEEP_STEP = 0.002

# A step is no noise above this many median deviations. Only deviations downwards count: earlier flashes are above.
DEVIATIONS = 8

# An onset is compared with the values of the two seconds before it, and with half a second at least.
BEFORE_NS = 2 * NS_PER_S
MIN_BEFORE_NS = NS_PER_S // 2

# A flash or beep reaches its peak within this time. Its onset is where it reaches half of the peak.
PEAK_NS = 100 * NS_PER_MS

# Two onsets are at least this far apart.
MIN_INTERVAL_NS = 300 * NS_PER_MS

# The largest offset that is searched.
MAX_OFFSET_NS = 2 * NS_PER_S

# A pair may differ from the offset by this. A camera of ten pictures a second sees flashes this late.
MAX_DEVIATION_NS = 100 * NS_PER_MS

MIN_PAIRS = 3

# The clip: a flash and a beep are long enough for a camera of ten pictures a second.
FPS = 30
SIZE = (320, 180)
RATE_HZ = 48_000
FLASH_S = 0.15
FLASHES = 49
CLIP_S = 60
AAC_SAMPLES = 1024


@dataclass(frozen=True, slots=True)
class Pairing:
    """The number of flashes with a beep, and how much later the beeps are: the median and the largest deviation.

    `is_clear` says that there are enough pairs, and that no other offset gives nearly as many.
    """

    pairs: int
    offset_ns: int
    spread_ns: int
    is_clear: bool


def brightness(frame: Frame) -> float:
    """Return the mean brightness of the picture, 0 to 255."""
    return float(frame.planes[0][::EVERY_PIXELS, ::EVERY_PIXELS].mean())


def find_flashes(measured: Iterable[tuple[int, float]]) -> list[int]:
    """Return when flashes begin, from the times and brightnesses of pictures."""
    return _onsets(list(measured), MIN_FLASH_STEP)


def find_beeps(blocks: Iterable[Block]) -> list[int]:
    """Return when beeps of BEEP_HZ begin."""
    return _onsets([level for block in blocks for level in _levels(block)], MIN_BEEP_STEP)


def pair(flashes_ns: Sequence[int], beeps_ns: Sequence[int]) -> Pairing | None:
    """Return the pairing by the offset with the most pairs, or None without any within MAX_OFFSET_NS."""
    later_ns = np.array(beeps_ns, np.int64)[None, :] - np.array(flashes_ns, np.int64)[:, None]
    candidates = np.unique(later_ns[np.abs(later_ns) <= MAX_OFFSET_NS])
    if not len(candidates):
        return None
    counts = np.array([len(_matches(later_ns, candidate)) for candidate in candidates])
    # of equally good offsets, the one in the middle
    best = np.flatnonzero(counts == counts.max())
    chosen = candidates[best[len(best) // 2]]
    matches = _matches(later_ns, chosen)
    offset_ns = int(np.median(matches))
    others = counts[np.abs(candidates - chosen) > 2 * MAX_DEVIATION_NS]
    runner_up = int(others.max()) if len(others) else 0
    return Pairing(
        pairs=len(matches),
        offset_ns=offset_ns,
        spread_ns=int(np.abs(matches - offset_ns).max()),
        is_clear=len(matches) >= MIN_PAIRS and 2 * runner_up <= len(matches),
    )


def write_flash_clip(path: Path) -> None:
    """Write a minute of MP4: a black picture that flashes white, each time with a beep. Raises Refused."""
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


def _matches(later_ns: "np.ndarray[tuple[int, int], np.dtype[np.int64]]", offset_ns: int) -> Array64:
    """Return for every flash with a beep near the offset how much later the nearest beep is."""
    nearest = np.abs(later_ns - offset_ns).argmin(axis=1)
    later: Array64 = later_ns[np.arange(len(later_ns)), nearest].astype(np.float64)
    return later[np.abs(later - offset_ns) <= MAX_DEVIATION_NS]


def _levels(block: Block) -> list[tuple[int, float]]:
    """Return start and amplitude around BEEP_HZ (0 to 1) of each segment of the block."""
    length = block.sample_rate_hz // SEGMENTS_PER_S
    count = len(block.samples) // length
    segments: Array = block.samples[: count * length].reshape(count, length)
    tone = np.exp(-2j * np.pi * BEEP_HZ / block.sample_rate_hz * np.arange(length))
    amplitudes = np.abs(segments @ tone) * 2 / length
    return [
        (block.start_ns + number * length * NS_PER_S // block.sample_rate_hz, float(amplitude))
        for number, amplitude in enumerate(amplitudes)
    ]


def _onsets(measured: list[tuple[int, float]], min_step: float) -> list[int]:
    """Return when the values rise steeply above the values before, from ordered times and values."""
    if not measured:
        return []
    at_ns, values = np.array([at for at, _ in measured], np.int64), np.array([value for _, value in measured])
    begins = np.searchsorted(at_ns, at_ns - BEFORE_NS)
    onsets: list[int] = []
    was_above = True
    for now in range(int(np.searchsorted(at_ns, at_ns[0] + MIN_BEFORE_NS)), len(values)):
        before = values[begins[now] : now]
        floor = np.median(before) if len(before) else values[now]
        step = values[now] - floor
        is_above = step > min_step and step > DEVIATIONS * np.median(floor - before[before <= floor])
        if is_above and not was_above and not (onsets and at_ns[now] - onsets[-1] < MIN_INTERVAL_NS):
            peak = values[now : np.searchsorted(at_ns, at_ns[now] + PEAK_NS)].max()
            first = now + int(np.argmax(values[now:] >= (floor + peak) / 2))
            onsets.append(int(at_ns[first]))
        was_above = bool(is_above)
    return onsets


def _write_pictures(clip: av.container.OutputContainer, video: av.VideoStream, begins_s: list[float]) -> None:
    frames_s = np.arange(CLIP_S * FPS) / FPS
    for number, bright in enumerate(_is_on(frames_s, begins_s)):
        pixels = np.full((SIZE[1], SIZE[0], 3), 255 if bright else 0, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        clip.mux(video.encode(frame))
    clip.mux(video.encode())


def _write_sound(clip: av.container.OutputContainer, audio: av.AudioStream, begins_s: list[float]) -> None:
    samples_s = np.arange(CLIP_S * RATE_HZ) / RATE_HZ
    tone = 0.7 * np.sin(2 * np.pi * BEEP_HZ * samples_s) * _is_on(samples_s, begins_s)
    for start in range(0, len(tone), AAC_SAMPLES):
        part = tone[None, start : start + AAC_SAMPLES].astype(np.float32)
        sound = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = RATE_HZ, start
        clip.mux(audio.encode(sound))
    clip.mux(audio.encode())


def _is_on(at_s: Array64, begins_s: list[float]) -> Array64:
    """Return 1 during each flash and 0 between."""
    # half a sample of sound more, so that rounding makes no flash a frame late
    since_s = at_s[:, None] + 0.5 / RATE_HZ - np.array(begins_s)
    is_on: Array64 = np.any((since_s >= 0) & (since_s < FLASH_S), axis=1).astype(np.float64)
    return is_on

"""Draws the sound of a kept clip as a picture: time from left to right, pitch upwards. Runs in a child process.

The page hands the function to that process and imports neither FFmpeg nor numpy itself: so they are imported within.
"""

import struct
import zlib
from typing import TYPE_CHECKING, Any

from daemon.runtime.child_main import MB, Failed, confine

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from numpy.typing import NDArray

WIDTH, HEIGHT = 800, 160

RATE_HZ = 16_000
WINDOW, HOP = 512, 256
MAX_S = 120
LOWEST_HZ = 60.0

# from the loudest to black. Where all is quiet, noise is not drawn as if it were loud
RANGE_DB = 70.0
QUIET_DB = -50.0

MEMORY_MB = 256
PROCESSOR_S = 60.0
MAX_PICTURE_BYTES = MB

# from quiet to loud: red, green, blue, equally far from each other; told apart by people who see no red or green
COLOURS = ((0, 0, 4), (60, 15, 110), (150, 40, 110), (230, 90, 50), (250, 180, 40), (252, 255, 164))


def draw_spectrogram(clip: str, target: str) -> None:
    """In a child process: write the spectrogram of the clip at descriptor `clip` as PNG into that at `target`.

    Raises Failed with the reason.
    """
    import av
    import numpy as np

    confine(MEMORY_MB, PROCESSOR_S, MAX_PICTURE_BYTES)
    try:
        with open(int(clip), "rb", closefd=False) as file:
            file.seek(0)
            with av.open(file, "r", format="mp4", metadata_errors="replace") as given:
                samples = _samples(given)
    except MemoryError:
        raise Failed("the sound of the clip needs too much memory") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Failed(f"the sound of the clip cannot be drawn: {getattr(error, 'strerror', None) or error}") from error
    levels = _levels(samples)
    top = max(float(levels.max()), QUIET_DB)
    shades = np.clip((levels - top) / RANGE_DB + 1, 0, 1) * 255
    with open(int(target), "wb", closefd=False) as picture:
        picture.write(_png(shades.astype(np.uint8)))


def _samples(given: "InputContainer") -> "NDArray[np.float32]":
    """Return the sound, float32 of shape (n,), from time 0 of the clip to its end."""
    import av
    import numpy as np

    # PyAV gives no codec context to what FFmpeg cannot decode
    if not given.streams.audio or given.streams.audio[0].codec_context is None:
        raise Failed("the clip has no sound that can be decoded")
    sound = given.streams.audio[0]
    sound.codec_context.thread_count = 1
    length_s = min(given.duration / av.time_base if given.duration else 0.0, MAX_S)
    found = np.zeros(MAX_S * RATE_HZ, np.float32)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    end = 0
    for packet in given.demux(sound):
        try:
            decoded = packet.decode()
        except av.InvalidDataError:
            continue
        for part in (small for frame in decoded for small in resampler.resample(frame)):
            end = max(end, _place(found, part))
        if end == len(found):
            break
    if end == 0:
        raise Failed("no sound of the clip can be decoded")
    return found[: max(end, int(length_s * RATE_HZ), WINDOW)]


def _place(found: "NDArray[np.float32]", part: Any) -> int:
    """Put some sound to its time; return where it ends."""
    at = int(part.pts * part.time_base * RATE_HZ) if part.pts is not None else 0
    values = part.to_ndarray().reshape(-1)
    values, at = values[max(0, -at) :], max(0, at)
    room = found[at : at + len(values)]
    room[:] = values[: len(room)]
    return at + len(room)


def _levels(samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return levels in dB, of shape (HEIGHT, WIDTH); the first row is the highest pitch."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2 / WINDOW**2
    by_pitch = _averaged(spectrum, _pitch_edges(), axis=1)
    columns = np.linspace(0, len(by_pitch), WIDTH + 1)
    averaged = _averaged(by_pitch, columns, axis=0)
    levels: NDArray[np.float32] = 10 * np.log10(averaged.T[::-1] + 1e-12).astype(np.float32)
    return levels


def _pitch_edges() -> "NDArray[np.float64]":
    """Return the edges of the rows, as positions among the bins of a spectrum: equally far on the mel scale."""
    import numpy as np

    lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, RATE_HZ / 2))
    hz = 700 * (10 ** (np.linspace(lowest, highest, HEIGHT + 1) / 2595) - 1)
    edges: NDArray[np.float64] = hz * WINDOW / RATE_HZ
    return edges


def _averaged(values: "NDArray[Any]", edges: "NDArray[np.float64]", axis: int) -> "NDArray[Any]":
    """Return the means between neighbouring edges, which may lie within one value."""
    import numpy as np

    rows = np.moveaxis(values, axis, 0)
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    low = np.minimum(edges.astype(int), len(rows) - 1)
    at_edges = sums[low] + (edges - low)[:, np.newaxis] * rows[low]
    means = np.diff(at_edges, axis=0) / np.diff(edges)[:, np.newaxis]
    return np.moveaxis(means, 0, axis)


def _png(shades: "NDArray[np.uint8]") -> bytes:
    """Return a PNG with a palette."""
    height, width = shades.shape
    rows = b"".join(b"\0" + row.tobytes() for row in shades)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", _palette()), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _palette() -> bytes:
    import numpy as np

    at = np.linspace(0, len(COLOURS) - 1, 256)
    channels = [np.interp(at, range(len(COLOURS)), [colour[number] for colour in COLOURS]) for number in range(3)]
    return bytes(np.stack(channels, axis=1).round().astype(np.uint8))

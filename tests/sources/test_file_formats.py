"""What files hold: deep, grey and transparent pictures, odd sizes, sound of a wrong declared length, wraps."""

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.config.streams import Region, ReplayConfig, StreamConfig
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.encoders.image import fit
from daemon.sources.container import read_picture, read_sound
from tests.encoders.test_image import spec
from tests.helpers.bars import LEVEL, check_bars, check_one_run, check_tone, draw_bars, draw_tone
from tests.helpers.recorded import RATE_HZ, Recorded, record
from tests.helpers.transport_stream import transport_stream

EVEN, ODD = (140, 48), (141, 47)
FRAMES, FPS = 4, 25
FULL_RANGE = 2  # AVCOL_RANGE_JPEG

TRANSPARENT = 100  # of 255; the colours of the pixels stay what they are


def replay(path: Path) -> Recorded:
    return record(StreamConfig(replay=ReplayConfig(file=str(path), loop=False, pace="fast")))


def write_bars(path: Path, codec: str, pixel_format: str, size: tuple[int, int]) -> None:
    """Write bars in any format. Where the format has alpha, they are half transparent."""
    alpha = np.full((*size[::-1], 1), TRANSPARENT, np.uint8)
    pixels = np.concatenate((draw_bars(size), alpha), axis=2)
    is_grey = pixel_format.startswith("gray")
    with av.open(str(path), "w", format="apng" if codec == "apng" else None) as container:
        video = container.add_stream(codec, rate=FPS)
        video.width, video.height, video.pix_fmt = *size, pixel_format
        if is_grey:  # FFmpeg's grey has full range
            video.codec_context.color_range = FULL_RANGE
        video.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgra").reformat(format=pixel_format)
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format", "size"),
    [
        ("mp4", "libx265", "yuv420p", EVEN),
        ("mp4", "libx265", "yuv420p10le", EVEN),
        ("mkv", "libx265", "yuv420p12le", EVEN),
        ("mp4", "libx264", "gray", EVEN),
        ("mkv", "libx264", "gray10le", EVEN),
        ("mp4", "libx265", "gray", EVEN),
        ("mkv", "ffv1", "gray16le", ODD),
        ("webm", "libvpx-vp9", "yuva420p", EVEN),
        ("mkv", "ffv1", "yuva420p", ODD),
        ("mkv", "ffv1", "bgra", ODD),
        ("mov", "qtrle", "argb", EVEN),
        ("mov", "prores_ks", "yuva444p10le", EVEN),
        ("png", "apng", "rgba", ODD),
        ("mp4", "libx264", "yuv444p", ODD),
        ("avi", "mjpeg", "yuvj420p", ODD),
        ("webm", "libvpx-vp9", "yuv420p", ODD),
    ],
)
def test_deep_grey_transparent_and_odd_pictures(
    tmp_path: Path, suffix: str, codec: str, pixel_format: str, size: tuple[int, int]
) -> None:
    path = tmp_path / f"clip.{suffix}"
    write_bars(path, codec, pixel_format, size)
    recorded = replay(path)
    assert len(recorded.frames) == FRAMES
    assert {frame.size for frame in recorded.frames} == {size}
    check_bars(recorded.frames[0], is_grey=pixel_format.startswith("gray"), tolerance=10)
    check_bars(recorded.frames[-1], is_grey=pixel_format.startswith("gray"), tolerance=10)
    stamps = [frame.captured_ns for frame in recorded.frames]
    assert np.diff(stamps) == pytest.approx(NS_PER_S / FPS, abs=NS_PER_MS)
    assert recorded.dropped == {}


def test_pictures_of_odd_size_are_masked_turned_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    write_bars(path, "mjpeg", "yuvj420p", ODD)
    left_half = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
    lower_part = Region(top=0.25)
    config = ReplayConfig(file=str(path), loop=False, pace="fast", masks=[left_half], rotate=90, region=lower_part)
    frame = record(StreamConfig(replay=config)).frames[0]
    width, height = frame.size
    assert (width, height) == (ODD[1], ODD[0] - round(ODD[0] / 4))
    pixels = fit(frame, spec(width, height, colour="bgr"))
    masked, seen = pixels[: height // 3], pixels[height // 3 + 4 :]
    assert masked.max() == 0, "the left half of the picture is the upper half of the turned one"
    assert seen.max(axis=2).min() > LEVEL / 2


@pytest.mark.parametrize("size", [EVEN, ODD])
@pytest.mark.parametrize("kind", ["bgr", "bgra", "grey", "16 bits", "16 bits of grey"])
def test_still_pictures_with_deep_grey_or_transparent_pixels(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    pixels = draw_bars(size)
    if kind == "bgra":
        pixels = np.concatenate((pixels, np.full((*size[::-1], 1), TRANSPARENT, np.uint8)), axis=2)
    if "grey" in kind:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    if "16" in kind:
        pixels = pixels.astype(np.uint16) * 257
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), pixels)
    frame = read_picture(path)
    assert frame.size == size
    check_bars(frame, is_grey="grey" in kind)


SECONDS = 3
SOUND_BYTES = SECONDS * RATE_HZ * 2


def write_wav(path: Path, riff_bytes: int, data_bytes: int) -> None:
    """Write 16 bits of the tone, with a header that declares these lengths."""
    samples = (draw_tone(SECONDS, RATE_HZ) * 32_767).astype("<i2")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + form + struct.pack("<4sI", b"data", data_bytes)
    path.write_bytes(head + samples.tobytes())


@pytest.mark.parametrize(
    ("riff_bytes", "data_bytes"),
    [
        (SOUND_BYTES + 36, SOUND_BYTES),
        (0, 0),
        (SOUND_BYTES + 36, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF - 36),
        (0x7FFFFFFF, 0x7FFFFFFF - 36),
        (0x7FFFF024, 0x7FFFF000),
        (0x80000024, 0x80000000),
        (SOUND_BYTES + 36, 0xFFFFFFFF),
        (2 * SOUND_BYTES + 36, 2 * SOUND_BYTES),
        (1000 * SOUND_BYTES + 36, 1000 * SOUND_BYTES),
    ],
)
def test_a_wav_that_declares_a_wrong_length_is_heard_to_its_end(
    tmp_path: Path, riff_bytes: int, data_bytes: int
) -> None:
    path = tmp_path / "clip.wav"
    write_wav(path, riff_bytes, data_bytes)
    recorded = replay(path)
    assert len(recorded.blocks) == SECONDS * 50
    check_one_run(recorded.blocks)
    check_tone(recorded.blocks)
    assert recorded.dropped == {}
    assert len(read_sound(path, RATE_HZ)) == SECONDS * RATE_HZ


# FFmpeg unwraps the times of a file in another way if the wrap comes in the first minute
@pytest.mark.parametrize(("wraps_after_s", "seconds", "fps"), [(1, 3, 10), (63, 66, 2)])
def test_nothing_is_lost_where_times_of_33_bits_begin_anew(
    tmp_path: Path, wraps_after_s: int, seconds: int, fps: int
) -> None:
    path = tmp_path / "clip.ts"
    pieces = transport_stream(seconds=seconds, wraps_after_s=wraps_after_s, fps=fps)
    path.write_bytes(b"".join(data for _, data in pieces))
    recorded = replay(path)
    assert len(recorded.frames) == seconds * fps
    check_bars(recorded.frames[-1])
    stamps = [frame.captured_ns for frame in recorded.frames]
    assert np.diff(stamps) == pytest.approx(NS_PER_S / fps, abs=NS_PER_MS)
    check_one_run(recorded.blocks)
    check_tone(recorded.blocks)
    assert len(recorded.blocks) == pytest.approx(seconds * 50, abs=5)
    assert recorded.dropped == {}

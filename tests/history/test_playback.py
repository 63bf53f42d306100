"""What a browser plays of a clip: made by a child process, within bounds, with a reason where it cannot be."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.core.errors import ChildError
from daemon.history.clips import ClipWriter
from daemon.history.playback import ClipJob, needs_rendering, run_job
from daemon.history.rendering import BT601, LIMITED_RANGE, MAX_FPS, MAX_WIDTH, render_h264
from daemon.history.spectrogram import HEIGHT, RANGE_DB, WIDTH, draw_spectrogram
from tests.helpers.clips import write_clip
from tests.helpers.kept_media import beeps_of, blocks, flashes_of, own_pictures

STEP_S = 0.09


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def made(job: ClipJob, clip: Path, target: Path) -> Path:
    with opened(clip, os.O_RDONLY) as given, opened(target, os.O_RDWR | os.O_CREAT) as wanted:
        os.lseek(given, 100, os.SEEK_SET)  # wherever another reader has left it
        run_job(job, given, wanted, 60)
    return target


def kept(path: Path) -> Path:
    """A clip of the node's own pictures, with Opus."""
    writer = ClipWriter(path, with_sound=True)
    writer.write(own_pictures(20, white=[10]), blocks(4, beeps_s=[2]))
    assert writer.close() is not None
    return path


@pytest.mark.parametrize(
    ("video", "expected"), [(None, False), ("h264", False), ("hevc", True), ("mjpeg", True), ("mpeg4", True)]
)
def test_what_browsers_do_not_play_needs_a_rendering(video: str | None, expected: bool) -> None:
    assert needs_rendering(video) == expected


def test_the_process_of_the_page_stays_light() -> None:
    heavy = "['av', 'cv2', 'numpy', 'pydantic', 'yaml', 'soxr']"
    program = (
        "import sys, daemon.history.playback, daemon.history.rendering, daemon.history.spectrogram; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_h265_becomes_a_small_film_that_begins_with_its_contents(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "1.mp4",
        seconds=2,
        keys_s=1,
        size=(642, 362),
        flashes_s=[1],
        beeps_s=[1],
        video_codec="libx265",
        options={"movflags": "+empty_moov"},
    )
    film = made(render_h264, source, tmp_path / "film")
    with av.open(str(film)) as container:
        pictures, sound = container.streams.video[0], container.streams.audio[0]
        assert (pictures.codec_context.name, pictures.format.name) == ("h264", "yuv420p")
        assert (pictures.width, pictures.height) == (MAX_WIDTH, 360)
        assert sound.codec_context.name == "aac"
        assert sum(1 for _ in container.decode(video=0)) <= 2 * MAX_FPS + 1
    assert abs(flashes_of(film)[0] - 1) < STEP_S
    assert abs(beeps_of(film)[0] - 1) < STEP_S
    head = film.read_bytes()
    assert 0 < head.index(b"moov") < head.index(b"mdat")


def test_a_film_has_the_colours_of_its_clip(tmp_path: Path) -> None:
    blue_by_bt709 = (32, 240, 118)
    with av.open(str(tmp_path / "1.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=5)
        video.width, video.height, video.pix_fmt, video.codec_context.colorspace = 64, 48, "yuv420p", 1
        picture = av.VideoFrame(64, 48, "yuv420p")
        for plane, value in zip(picture.planes, blue_by_bt709, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        picture.pts, picture.colorspace = 0, 1
        container.mux(video.encode(picture))
        container.mux(video.encode())
    film = made(render_h264, tmp_path / "1.mp4", tmp_path / "film")
    with av.open(str(film)) as container:
        shown = next(iter(container.decode(video=0)))
        assert (shown.colorspace, shown.color_range) == (BT601, LIMITED_RANGE)
        assert np.abs(shown.to_ndarray(format="bgr24").reshape(-1, 3).mean(axis=0) - (255, 0, 0)).max() < 8


def test_own_pictures_become_a_film_with_their_sound(tmp_path: Path) -> None:
    film = made(render_h264, kept(tmp_path / "1.mp4"), tmp_path / "film")
    with av.open(str(film)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.audio[0].codec_context.name == "opus"
        assert sum(1 for _ in container.decode(video=0)) == 20
    assert flashes_of(film) == [2]
    assert abs(beeps_of(film)[0] - 2) < STEP_S


def damaged(path: Path, kind: str) -> Path:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "a playlist":
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    elif kind == "without pictures":
        write_clip(path, seconds=1, picture=False)
    elif kind == "without sound":
        write_clip(path, seconds=1, sound_hz=None)
    elif kind == "unknown pictures":
        path.write_bytes(write_clip(path, seconds=1).read_bytes().replace(b"avc1", b"zzzz"))
    elif kind == "unknown sound":
        path.write_bytes(kept(path).read_bytes().replace(b"Opus", b"zzzz"))
    else:
        whole = kept(path).read_bytes()
        begin, end = whole.index(b"mdat") + 4, whole.index(b"moov") - 4
        path.write_bytes(whole[: end // 2] if kind == "cut off" else whole[:begin] + bytes(end - begin) + whole[end:])
    return path


@pytest.mark.parametrize(
    ("job", "kind", "reason"),
    [
        (render_h264, "empty", "the clip cannot be shown"),
        (render_h264, "a playlist", "the clip cannot be shown"),
        (render_h264, "cut off", "the clip cannot be shown"),
        (render_h264, "without content", "no picture of the clip can be decoded"),
        (render_h264, "without pictures", "the clip has no pictures"),
        (render_h264, "unknown pictures", "the clip has no pictures"),
        (draw_spectrogram, "unknown sound", "the clip has no sound"),
        (draw_spectrogram, "cut off", "the sound of the clip cannot be drawn"),
        (draw_spectrogram, "without sound", "the clip has no sound"),
    ],
)
def test_a_clip_that_cannot_be_shown_has_a_reason(job: ClipJob, kind: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=reason):
        made(job, damaged(tmp_path / "1.mp4", kind), tmp_path / "film")
    assert (tmp_path / "film").stat().st_size == 0


def test_pictures_that_claim_too_many_pixels_are_not_decoded(tmp_path: Path) -> None:
    packets = own_pictures(3)
    jpeg = bytearray(packets[0].data)
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xf0\xff\xf0"
    writer = ClipWriter(tmp_path / "1.mp4", with_sound=False)
    writer.write([replace(packet, data=bytes(jpeg)) for packet in packets], [])
    assert writer.close() is not None
    with pytest.raises(ChildError, match=r"pixels|no picture"):
        made(render_h264, tmp_path / "1.mp4", tmp_path / "film")


def test_a_spectrogram_shows_when_and_how_high_it_sounds(tmp_path: Path) -> None:
    writer = ClipWriter(tmp_path / "1.mp4", with_sound=True)
    writer.write(own_pictures(20), blocks(4, beeps_s=[1, 3]))
    assert writer.close() is not None
    picture = made(draw_spectrogram, tmp_path / "1.mp4", tmp_path / "picture").read_bytes()
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).sum(axis=2)
    assert pixels.shape == (HEIGHT, WIDTH)
    loud = np.flatnonzero(pixels.max(axis=0) > 500)
    assert np.allclose([loud[0], loud[-1]], [WIDTH / 4, 3 * WIDTH / 4 + 12], atol=12)
    # 1 kHz is at 1000 mel of 80 to 2840
    assert abs(np.argmax(pixels[:, loud[2]]) - HEIGHT * (1 - (1000 - 98) / (2840 - 98))) <= 6


def test_silence_is_drawn_dark(tmp_path: Path) -> None:
    writer = ClipWriter(tmp_path / "1.mp4", with_sound=True)
    writer.write([], blocks(1))
    assert writer.close() is not None
    picture = made(draw_spectrogram, tmp_path / "1.mp4", tmp_path / "picture").read_bytes()
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).max() < 20
    assert RANGE_DB > 0

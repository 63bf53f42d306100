"""Frames of decoded pictures: they are converted only when they are used, and never overwritten."""

import gc
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.config.streams import PictureConfig
from daemon.core.records import Deferred, moved
from daemon.sources.container import to_frame
from daemon.sources.picture import PicturePreparation

CLIP_FRAMES = 60


@pytest.mark.parametrize("kind", ["gray", "yuv420p"])
def test_the_planes_of_a_frame_that_is_left_out_are_not_made(kind: str) -> None:
    assert isinstance(to_frame(av.VideoFrame(64, 48, kind), 7).content, Deferred)


def test_an_unused_frame_is_not_converted() -> None:
    picture = av.VideoFrame(64, 48, "gray")
    picture.planes[0].update(bytes(64 * 48))
    masked = PicturePreparation(PictureConfig(rotate=90, masks=[[[0, 0], [1, 0], [0, 1]]]))
    frame = masked.prepare(moved(to_frame(picture, 7), 5))
    assert frame.captured_ns == 12
    picture.planes[0].update(bytes([9]) * 64 * 48)
    assert frame.size == (48, 64)
    assert [plane.shape for plane in frame.planes] == [(64, 48, 3)]
    assert frame.planes[0].max() == 9, "the picture is converted when its planes are used"
    picture.planes[0].update(bytes(64 * 48))
    assert frame.planes[0].max() == 9, "and only then"


def write(path: Path, pixel_format: str) -> None:
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, pixel_format
        for number in range(CLIP_FRAMES):
            picture = av.VideoFrame.from_ndarray(rng.integers(0, 256, (48, 64, 3), np.uint8), format="bgr24")
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode())


@pytest.mark.parametrize("pixel_format", ["yuv420p", "gray"])
def test_a_picture_is_freed_without_the_garbage_collector(pixel_format: str) -> None:
    """A picture in a reference cycle keeps its memory until the collector runs: 50 MB for a recording."""
    picture = av.VideoFrame(64, 48, pixel_format)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        frame = to_frame(picture, 7)
        assert frame.planes
        del picture, frame
        gc.collect()
        assert not [each for each in gc.garbage if isinstance(each, av.VideoFrame)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuvj420p", "yuv420p10le"])
def test_the_decoder_does_not_overwrite_the_planes_of_a_frame(tmp_path: Path, pixel_format: str) -> None:
    path = tmp_path / "clip.mp4"
    write(path, pixel_format)
    with av.open(str(path)) as container:
        at_once = [[plane.copy() for plane in to_frame(each, 0).planes] for each in container.decode(video=0)]
    with av.open(str(path)) as container:
        stored = [to_frame(each, 0) for each in container.decode(video=0)]
    assert len(stored) == CLIP_FRAMES
    for frame, expected in zip(stored, at_once, strict=True):
        assert all(np.array_equal(plane, copy) for plane, copy in zip(frame.planes, expected, strict=True))

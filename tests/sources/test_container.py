"""Frames of decoded pictures: they are converted only when they are used, and never overwritten."""

import gc
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.config.streams import PictureConfig
from daemon.core.records import moved
from daemon.sources.container import to_frame
from daemon.sources.picture import PicturePreparation

CLIP_FRAMES = 60


def fill(picture: av.VideoFrame, level: int) -> None:
    (plane,) = picture.planes
    plane.update(bytes([level]) * plane.buffer_size)


def test_an_unused_frame_is_not_converted() -> None:
    picture = av.VideoFrame(64, 48, "gray")
    fill(picture, 200)
    masked = PicturePreparation(PictureConfig(rotate=90, masks=[[[0, 0], [1, 0], [0, 1]]]))
    frame = masked.prepare(moved(to_frame(picture, 7), 5))
    assert frame.captured_ns == 12
    fill(picture, 9)
    (plane,) = frame.planes
    assert (frame.size, plane.shape) == ((48, 64), (64, 48, 3))
    assert plane.max() < 20, "the picture is converted when it is used"
    fill(picture, 200)
    assert frame.planes[0].max() < 20, "it is converted once"


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


def test_a_frame_is_free_without_a_collection_of_garbage(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", "yuv420p")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        gc.collect()
        gc.disable()
        try:
            for picture in container.decode(video=0):
                to_frame(picture, 0)
            del picture
            assert gc.collect() == 0, "nothing is in a reference cycle"
        finally:
            gc.enable()

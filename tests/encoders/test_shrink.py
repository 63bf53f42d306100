"""Small copies of frames keep shape, colours and time, cover what is asked for, and share no memory."""

import numpy as np
import pytest

from daemon.core.records import Colours, Frame, Plane
from daemon.encoders.resize import PLAIN
from daemon.encoders.shrink import shrunk, to_bgr


def yuv(width: int, height: int, chroma: tuple[int, int] = (2, 2), colours: Colours = PLAIN) -> Frame:
    """A frame with luma 100, blue 90 and red 200; `chroma` has the factors of width and height."""
    small = (height // chroma[1], width // chroma[0])
    planes: tuple[Plane, ...] = (
        np.full((height, width), 100, np.uint8),
        np.full(small, 90, np.uint8),
        np.full(small, 200, np.uint8),
    )
    return Frame(planes, 7, colours, 5)


def bgr(width: int, height: int) -> Frame:
    return Frame((np.full((height, width, 3), (10, 20, 30), np.uint8),), 7)


@pytest.mark.parametrize(
    ("frame", "least", "expected"),
    [
        (yuv(640, 480), (224, 224), (320, 240)),
        (yuv(480, 640), (224, 224), (240, 320)),
        (yuv(1920, 1080), (96, 224), (480, 270)),
        (yuv(640, 360), (224, 224), (400, 224)),
        (bgr(640, 360), (224, 224), (399, 224)),
        (bgr(641, 480), (224, 224), (321, 240)),
        (bgr(640, 480), (4, 4), (6, 4)),
        (yuv(640, 480), (640, 300), (640, 480)),
        (yuv(64, 48), (224, 224), (64, 48)),
        (bgr(4000, 10), (224, 224), (4000, 10)),
        (yuv(640, 480, (2, 1)), (224, 224), (320, 240)),
        (yuv(640, 480, (1, 1), Colours("bt709", True)), (224, 224), (320, 240)),
    ],
)
def test_the_copy_covers_what_is_asked_for(frame: Frame, least: tuple[int, int], expected: tuple[int, int]) -> None:
    small = shrunk(frame, least)
    assert small.size == expected
    assert (small.captured_ns, small.delay_ns, small.colours) == (frame.captured_ns, frame.delay_ns, frame.colours)
    width, height = frame.size
    shapes = [
        (expected[1] * plane.shape[0] // height, expected[0] * plane.shape[1] // width, *plane.shape[2:])
        for plane in frame.planes
    ]
    assert [plane.shape for plane in small.planes] == shapes
    for plane, before in zip(small.planes, frame.planes, strict=True):
        assert not np.shares_memory(plane, before)
        assert plane.base is None
        assert (plane == before[0, 0]).all()


def test_a_view_of_a_large_picture_does_not_keep_it() -> None:
    part = bgr(1000, 1000).part(0, 0, 10, 10)
    assert shrunk(part, (224, 224)).planes[0].base is None


@pytest.mark.parametrize(
    "frame", [yuv(12, 8), yuv(12, 8, (2, 1)), yuv(12, 8, (1, 1)), yuv(12, 8, colours=Colours("bt601", True))]
)
def test_yuv_becomes_bgr(frame: Frame) -> None:
    pixels = to_bgr(frame)
    assert pixels.shape == (8, 12, 3)
    blue, green, red = pixels[4, 6].tolist()
    assert red > 180
    assert blue < 60
    assert green < 100


def test_bgr_stays_as_it_is() -> None:
    frame = bgr(5, 3)
    assert (to_bgr(frame) == frame.planes[0]).all()

"""Masks, rotation and region of pictures."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.config.streams import PictureConfig, Region
from daemon.core.records import Colours, Frame
from daemon.sources.picture import PicturePreparation

sizes = st.tuples(st.integers(8, 40).map(lambda n: 2 * n), st.integers(8, 40).map(lambda n: 2 * n))


def bgr(size: tuple[int, int]) -> Frame:
    pixels = np.random.default_rng(1).integers(1, 256, (size[1], size[0], 3), np.uint8)
    return Frame((pixels,), 7)


def yuv(size: tuple[int, int]) -> Frame:
    width, height = size
    rng = np.random.default_rng(2)
    shapes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    return Frame(tuple(rng.integers(17, 127, shape, np.uint8) for shape in shapes), 7)


@given(sizes)
def test_without_configuration_the_frame_is_unchanged(size: tuple[int, int]) -> None:
    frame = bgr(size)
    assert PicturePreparation(PictureConfig()).prepare(frame) is frame


@given(sizes, st.sampled_from([0, 90, 180, 270]), st.booleans())
def test_rotation_is_clockwise(size: tuple[int, int], rotate: int, is_yuv: bool) -> None:
    frame = yuv(size) if is_yuv else bgr(size)
    rotated = PicturePreparation(PictureConfig(rotate=rotate)).prepare(frame)
    for before, after in zip(frame.planes, rotated.planes, strict=True):
        assert np.array_equal(after, np.rot90(before, -rotate // 90))
    assert rotated.captured_ns == frame.captured_ns


@st.composite
def regions(draw: st.DrawFn) -> Region:
    left, top = draw(st.floats(0, 0.98)), draw(st.floats(0, 0.98))
    right, bottom = draw(st.floats(left + 0.011, 1)), draw(st.floats(top + 0.011, 1))
    return Region(left=left, top=top, right=right, bottom=bottom)


@given(sizes, regions())
def test_a_region_is_cut_out(size: tuple[int, int], region: Region) -> None:
    frame = bgr(size)
    part = PicturePreparation(PictureConfig(region=region)).prepare(frame).planes[0]
    left, top = (min(round(f * n), n - 1) for f, n in ((region.left, size[0]), (region.top, size[1])))
    assert part.size > 0
    assert np.array_equal(part, frame.planes[0][top : top + part.shape[0], left : left + part.shape[1]])
    assert abs(part.shape[1] - (region.right - region.left) * size[0]) <= 1
    assert abs(part.shape[0] - (region.bottom - region.top) * size[1]) <= 1


@given(sizes, regions(), st.sampled_from([0, 90]))
def test_the_planes_of_a_yuv_region_stay_aligned(size: tuple[int, int], region: Region, rotate: int) -> None:
    luma, *chroma = PicturePreparation(PictureConfig(region=region, rotate=rotate)).prepare(yuv(size)).planes
    assert luma.shape[0] % 2 == 0 and luma.shape[1] % 2 == 0 and luma.size > 0
    assert all(plane.shape == (luma.shape[0] // 2, luma.shape[1] // 2) for plane in chroma)


def inside(polygon: list[list[float]], size: tuple[int, int], border: float) -> np.ndarray:
    """Return which pixels have their middle at least `border` pixels inside the polygon (negative: outside)."""
    width, height = size
    corners = (np.array(polygon) * size).astype(np.float32).reshape(-1, 1, 2)
    distances = [[cv2.pointPolygonTest(corners, (x + 0.5, y + 0.5), True) for x in range(width)] for y in range(height)]
    return np.array(distances) >= border


fractions = st.floats(0, 1)
triangles = st.lists(st.lists(fractions, min_size=2, max_size=2), min_size=3, max_size=3)


@example((16, 16), [[[1.0, 0.0], [1.0, 1.0], [0.875, 0.0]]])
@given(sizes, st.lists(triangles, min_size=1, max_size=3))
def test_masks_cover_every_pixel_inside_and_few_outside(size: tuple[int, int], masks: list[list[list[float]]]) -> None:
    frame = bgr(size)
    before = frame.planes[0].copy()
    after = PicturePreparation(PictureConfig(masks=masks)).prepare(frame).planes[0]
    covered = np.any([inside(mask, size, 0) for mask in masks], axis=0)
    near = np.any([inside(mask, size, -3) for mask in masks], axis=0)
    assert not after[covered].any()
    assert np.array_equal(after[~near], before[~near])
    assert np.array_equal(frame.planes[0], before), "the plane of the decoder is unchanged"


@pytest.mark.parametrize(
    "mask", [[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]], [[0.1, 0.1], [0.6, 0.3], [0.3, 0.9]]]
)
def test_masks_of_yuv_cover_luma_and_chroma(mask: list[list[float]]) -> None:
    size = (60, 40)
    luma, *chroma = PicturePreparation(PictureConfig(masks=[mask])).prepare(yuv(size)).planes
    covered = inside(mask, size, 0)
    assert (luma[covered] == 16).all()
    for plane in chroma:
        assert (np.repeat(np.repeat(plane, 2, 0), 2, 1)[covered] == 128).all()


@pytest.mark.parametrize(("down", "across"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_planes_with_any_chroma_stay_aligned(down: int, across: int, is_full_range: bool) -> None:
    rng = np.random.default_rng(4)
    shapes = (40, 60), (40 // down, 60 // across), (40 // down, 60 // across)
    planes = tuple(rng.integers(20, 120, shape, np.uint8) for shape in shapes)
    left_half = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
    config = PictureConfig(masks=[left_half], rotate=90, region=Region(top=0.25, bottom=0.75))
    frame = PicturePreparation(config).prepare(Frame(planes, 7, Colours(is_full_range=is_full_range)))
    luma, *chroma = frame.planes
    assert luma.shape == (30, 40)
    assert [plane.shape for plane in chroma] == [(30 // across, 40 // down)] * 2
    assert (luma[:16] == (0 if is_full_range else 16)).all()
    assert np.array_equal(luma[20:], np.rot90(planes[0], -1)[34:44])
    for plane, before in zip(chroma, planes[1:], strict=True):
        assert (plane[: 16 // across] == 128).all()
        assert np.array_equal(plane[20 // across :], np.rot90(before, -1)[34 // across : 44 // across])


def test_overlapping_masks_have_no_hole() -> None:
    square = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]
    after = PicturePreparation(PictureConfig(masks=[square, square])).prepare(bgr((40, 40))).planes[0]
    assert not after[10:30, 10:30].any()


def test_masks_follow_a_change_of_size_and_come_before_rotation_and_region() -> None:
    left_half = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
    preparation = PicturePreparation(PictureConfig(masks=[left_half], rotate=90, region=Region(bottom=0.5)))
    for size in ((40, 20), (64, 32)):
        after = preparation.prepare(bgr(size)).planes[0]
        assert after.shape[:2] == (size[0] // 2, size[1])
        assert not after.any(), "the left half is on top after a quarter turn clockwise"

"""YUV of any range, matrix and chroma gives the colours that FFmpeg gives for the picture at full size."""

import av
import cv2
import numpy as np
import pytest

from daemon.core.records import Colours, Frame
from daemon.encoders.image import fit
from daemon.encoders.resize import rgb_from_yuv
from daemon.sources.container import to_frame
from tests.encoders.test_image import spec

BT709, BT601 = 1, 5
LIMITED, FULL = 1, 2
MAX_LEVELS = 2


def photo(size: tuple[int, int]) -> np.ndarray:
    """Return a colourful BGR picture with edges and noise."""
    width, height = size
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), np.uint8), (0, 0), 9)
    picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
    cv2.circle(picture, (width // 3, height // 2), height // 5, (20, 200, 240), -1)
    cv2.circle(picture, (2 * width // 3, height // 2), height // 5, (240, 20, 20), -1)
    return cv2.add(picture, rng.integers(0, 12, picture.shape, np.uint8))


@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("to", [(112, 112), (99, 75), (200, 150)])
@pytest.mark.parametrize(
    ("pixel_format", "colour_range", "matrix"),
    [
        ("yuvj420p", FULL, BT601),
        ("yuvj420p", FULL, BT709),
        ("yuv420p", LIMITED, BT709),
        ("yuv420p", FULL, BT709),
        ("yuvj422p", FULL, BT601),
        ("yuv422p", LIMITED, BT601),
        ("yuv444p", LIMITED, BT709),
    ],
)
def test_resized_planes_match_the_picture_that_ffmpeg_converts_at_full_size(
    pixel_format: str, colour_range: int, matrix: int, to: tuple[int, int], colour: str
) -> None:
    picture = av.VideoFrame.from_ndarray(photo((320, 240)), format="bgr24")
    picture = picture.reformat(format=pixel_format, dst_colorspace=matrix, dst_color_range=colour_range)
    picture.color_range, picture.colorspace = colour_range, matrix
    full_size = Frame((picture.to_ndarray(format="bgr24"),), 0)
    frame = to_frame(picture, 0)
    assert len(frame.planes) == 3
    target = spec(*to, colour=colour)
    assert np.abs(fit(frame, target).astype(int) - fit(full_size, target)).mean() <= MAX_LEVELS


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_black_white_and_grey_have_no_colour(matrix: str, is_full_range: bool) -> None:
    black, white = (0, 255) if is_full_range else (16, 235)
    luma = np.array([black, (black + white) / 2, white])
    yuv = np.stack((luma, np.full(3, 128), np.full(3, 128), np.ones(3)))
    rgb = rgb_from_yuv(Colours(matrix, is_full_range)) @ yuv
    np.testing.assert_allclose(rgb, [[0, 127.5, 255]] * 3, atol=1e-3)


def test_red_of_bt709() -> None:
    """Full red in limited range is Y = 63, Cb = 102, Cr = 240 by the weights of BT.709."""
    rgb = rgb_from_yuv(Colours("bt709")) @ np.array([63, 102, 240, 1])
    np.testing.assert_allclose(rgb, [255, 0, 0], atol=1.5)

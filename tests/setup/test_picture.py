"""One picture of a camera, by the source that a node would use."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.config.streams import CameraConfig
from daemon.core.records import Colours, Frame
from daemon.setup.found import SearchFailed
from daemon.setup.picture import brightness_of, one_picture
from tests.helpers.http_camera import Pictures, http_camera

LONG_S = 30.0


def test_a_picture_has_its_size_and_brightness() -> None:
    pixels = np.full((48, 64, 3), 64, np.uint8)
    with http_camera({"/": Pictures(pixels, 10)}) as url:
        picture = one_picture(CameraConfig(device=f"http://{url}/"), LONG_S, settle_s=0.1)
    assert (picture.width, picture.height) == (64, 48)
    assert picture.brightness == pytest.approx(0.25, abs=0.02)
    decoded = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None and decoded.shape == (48, 64, 3)


def test_a_camera_that_does_not_open_is_named_without_its_login(tmp_path: Path) -> None:
    with pytest.raises(SearchFailed, match=r"there is no .*missing") as caught:
        one_picture(CameraConfig(device=f"/dev/{tmp_path.name}-missing"), LONG_S)
    assert "cameras here" in str(caught.value)
    with pytest.raises(SearchFailed) as caught:
        one_picture(CameraConfig(device="rtsp://user:secret@127.0.0.1:1/x"), LONG_S)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (Frame((np.full((2, 2, 3), 255, np.uint8),), 0), 1.0),
        (Frame((np.zeros((2, 2, 3), np.uint8),), 0), 0.0),
        (Frame((np.full((2, 2), 16, np.uint8), np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8)), 0), 0.0),
        (Frame((np.full((2, 2), 235, np.uint8), np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8)), 0), 1.0),
        (Frame((np.zeros((2, 2), np.uint8),) * 3, 0), 0.0),
        (Frame((np.full((2, 2), 51, np.uint8),) * 3, 0, Colours(is_full_range=True)), 0.2),
    ],
)
def test_brightness_is_the_mean_luma(frame: Frame, expected: float) -> None:
    assert brightness_of(frame) == pytest.approx(expected)

import threading
from pathlib import Path

import cv2
import pytest

from daemon.clock import monotonic_ns
from daemon.config import PictureConfig
from daemon.errors import SourceError
from daemon.records import Captured, Frame
from daemon.sources.devices import CameraDevice, captures_video, list_cameras
from daemon.sources.picture import PicturePreparation
from daemon.sources.v4l2 import V4l2Camera
from tests.fakes.capture import FakeCapture


def camera(capture: FakeCapture, **settings: float) -> V4l2Camera:
    picture = PicturePreparation(PictureConfig(rotate=90))
    return V4l2Camera(0, picture, open_capture=lambda device: capture, **settings)  # type: ignore[arg-type]


def test_frames_are_prepared_and_stamped_when_they_come() -> None:
    stop = threading.Event()
    capture = FakeCapture(good=100)
    frames: list[Captured] = []

    def deliver(item: Captured) -> None:
        frames.append(item)
        if len(frames) == 5:
            stop.set()

    began_ns = monotonic_ns()
    camera(capture).run(deliver, stop)
    stamps = [frame.captured_ns for frame in frames if isinstance(frame, Frame)]
    assert len(stamps) == 5
    times = [began_ns, *stamps, monotonic_ns()]
    assert times == sorted(times)
    assert isinstance(frames[0], Frame) and frames[0].size == (48, 64)
    assert capture.is_released
    assert capture.asked == {}


def test_size_and_rate_are_asked_for() -> None:
    capture = FakeCapture()
    with pytest.raises(SourceError):
        camera(capture, width=640, height=480, fps=30).run(lambda item: None, threading.Event())
    assert capture.asked == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 640,
        cv2.CAP_PROP_FRAME_HEIGHT: 480,
        cv2.CAP_PROP_FPS: 30,
    }


def test_a_camera_that_stops_is_an_error_and_closed() -> None:
    capture = FakeCapture(good=3)
    frames: list[Captured] = []
    with pytest.raises(SourceError, match="camera 0: stopped delivering"):
        camera(capture).run(frames.append, threading.Event())
    assert len(frames) == 3
    assert capture.is_released


def test_a_camera_that_cannot_be_opened_is_an_error() -> None:
    picture = PicturePreparation(PictureConfig())
    missing = V4l2Camera("/dev/v4l/by-id/usb-none", picture)
    with pytest.raises(SourceError, match="there is no /dev/v4l/by-id/usb-none; cameras here: "):
        missing.run(lambda item: None, threading.Event())
    no_camera = V4l2Camera("/dev/null", picture)
    with pytest.raises(SourceError, match="camera /dev/null: cannot be opened"):
        no_camera.run(lambda item: None, threading.Event())


def test_cameras_are_listed_by_their_lasting_names(tmp_path: Path) -> None:
    devices, names = tmp_path / "dev", tmp_path / "sys"
    (devices / "v4l" / "by-id").mkdir(parents=True)
    for number, name in ((10, "codec"), (2, "Front Door"), (0, "Desk"), (1, "Desk")):
        (devices / f"video{number}").touch()
        (names / f"video{number}").mkdir(parents=True)
        (names / f"video{number}" / "name").write_text(name + "\n")
    lasting = devices / "v4l" / "by-id" / "usb-Desk-video-index0"
    lasting.symlink_to("../../video0")
    found = list_cameras(devices, names, is_camera=lambda path: path.name in ("video0", "video2"))
    assert found == [
        CameraDevice(str(lasting), 0, "Desk"),
        CameraDevice(str(devices / "video2"), 2, "Front Door"),
    ]
    assert str(found[1]).endswith("video2  (number 2: Front Door)")


def test_what_does_not_answer_as_a_camera_is_none() -> None:
    assert not captures_video(Path("/dev/null"))
    assert not captures_video(Path("/dev/none"))

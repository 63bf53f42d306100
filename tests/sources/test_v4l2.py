"""Cameras with a test program in a real child process, and the list of cameras.

The real program is tested in tests/sources/capture, and with real devices in tests/device.
"""

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daemon.config.streams import PictureConfig
from daemon.core.errors import SourceError
from daemon.core.records import Captured, Counters, Frame
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.picture import PicturePreparation
from daemon.sources.v4l2 import CameraDevice, V4l2Camera, captures_video, is_camera_by, list_cameras
from tests.helpers.processes import children_of
from tests.sources import cameras

STOPPED_S = 1.0

Program = Callable[[str, str], None]


class Watched:
    """Runs a camera with a test program and stores its frames. Calls `on_frame` after each frame."""

    def __init__(self, program: Program) -> None:
        self.counters = Counters()
        self.frames: list[Frame] = []
        self.stop = threading.Event()
        picture = PicturePreparation(PictureConfig(rotate=90))
        self._camera = V4l2Camera("/dev/null", {"image": self.counters}, picture, program=program)

    def run(self, on_frame: Callable[[], None] | None = None) -> None:
        def take(item: Captured) -> None:
            assert isinstance(item, Frame)
            self.frames.append(item)
            if on_frame is not None:
                on_frame()

        self._camera.run(take, self.stop)

    def fails(self) -> str:
        with pytest.raises(SourceError) as caught:
            self.run()
        assert processes() == []
        return str(caught.value)


def processes() -> list[int]:
    return children_of(os.getpid(), "tests.sources.cameras")


def test_frames_of_any_size_are_prepared_and_stamped_and_damaged_ones_are_counted() -> None:
    watched = Watched(cameras.changing)
    began_ns = monotonic_ns()
    assert watched.fails() == "camera /dev/null: stopped delivering"
    assert [frame.size for frame in watched.frames] == [(48, 64), (960, 1280), (48, 64)]
    assert [int(frame.planes[0].max()) for frame in watched.frames] == [1, 3, 4]
    stamps = [frame.captured_ns for frame in watched.frames]
    assert stamps == sorted(stamps)
    assert began_ns - NS_PER_S < stamps[0] and stamps[-1] < monotonic_ns()
    assert watched.counters.dropped == {"corrupt": 1}


def test_later_frames_do_not_change_an_earlier_one() -> None:
    watched = Watched(cameras.endless)
    copies: list[np.ndarray] = []

    def keep() -> None:
        copies.append(watched.frames[-1].planes[0].copy())
        if len(copies) == 200:
            watched.stop.set()

    watched.run(keep)
    assert all(np.array_equal(frame.planes[0], copy) for frame, copy in zip(watched.frames, copies, strict=False))
    assert processes() == []


def test_pictures_without_room_are_counted() -> None:
    watched = Watched(cameras.endless)

    def wait() -> None:
        threading.Event().wait(0.01)
        if watched.counters.dropped.get("overflow", 0) > 0:
            watched.stop.set()

    watched.run(wait)
    assert watched.counters.dropped["overflow"] > 0


def test_a_hanging_camera_process_is_killed_on_stop() -> None:
    watched = Watched(cameras.silent)
    thread = threading.Thread(target=watched.run)
    thread.start()
    watched.stop.wait(0.5)
    watched.stop.set()
    thread.join(STOPPED_S)
    assert not thread.is_alive()
    assert processes() == []


@pytest.mark.parametrize(
    ("program", "problem"),
    [(cameras.dying, "its process was ended by SIGABRT"), (cameras.sending_garbage, "10 bytes are not a picture")],
)
def test_a_faulty_camera_process_is_an_error(program: Program, problem: str) -> None:
    assert Watched(program).fails() == f"camera /dev/null: {problem}"


def test_a_camera_that_cannot_be_opened_is_an_error() -> None:
    picture = PicturePreparation(PictureConfig())
    missing = V4l2Camera("/dev/v4l/by-id/usb-none", {}, picture)
    with pytest.raises(SourceError, match="there is no /dev/v4l/by-id/usb-none; cameras here: "):
        missing.run(lambda item: None, threading.Event())
    no_camera = V4l2Camera("/dev/null", {}, picture)
    with pytest.raises(SourceError, match="camera /dev/null: cannot be opened: another program uses it"):
        no_camera.run(lambda item: None, threading.Event())


def test_cameras_are_listed_by_their_persistent_names(tmp_path: Path) -> None:
    devices, names = tmp_path / "dev", tmp_path / "sys"
    (devices / "v4l" / "by-id").mkdir(parents=True)
    for number, name in ((10, "codec"), (2, "Front Door"), (0, "Desk"), (1, "Desk")):
        (devices / f"video{number}").touch()
        (names / f"video{number}").mkdir(parents=True)
        (names / f"video{number}" / "name").write_text(name + "\n")
    persistent = devices / "v4l" / "by-id" / "usb-Desk-video-index0"
    persistent.symlink_to("../../video0")
    found = list_cameras(devices, names, is_camera=lambda path: path.name in ("video0", "video2"))
    assert found == [
        CameraDevice(str(persistent), 0, "Desk"),
        CameraDevice(str(devices / "video2"), 2, "Front Door"),
    ]
    assert str(found[1]).endswith("video2  (number 2: Front Door)")


def test_a_device_that_does_not_answer_as_a_camera_is_none() -> None:
    assert not captures_video(Path("/dev/null"))
    assert not captures_video(Path("/dev/none"))


@pytest.mark.parametrize(
    ("driver", "capabilities", "expected"),
    [
        (b"uvcvideo", 0x0420_0001, True),
        (b"vivid", 0x0520_0001, True),
        # the metadata of the same camera, and a codec
        (b"uvcvideo", 0x04A0_0000, False),
        (b"bcm2835-codec", 0x0420_4000, False),
        # as Raspberry Pi OS has them
        (b"unicam", 0x2520_0001, False),
        (b"bcm2835-isp", 0x0420_0001, False),
        (b"rp1-cfe", 0x24A0_0001, False),
    ],
)
def test_a_camera_captures_pictures_and_not_what_a_sensor_sends(
    driver: bytes, capabilities: int, expected: bool
) -> None:
    of_device = capabilities | 0x8080_0001  # with those of the driver's other devices
    answer = driver.ljust(84, b"\0") + struct.pack("=II", of_device, capabilities) + bytes(12)
    assert is_camera_by(answer) is expected

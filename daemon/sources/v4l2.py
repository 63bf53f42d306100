"""A V4L2 camera of this machine, captured in a child process, and the list of such cameras."""

import fcntl
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from daemon.core.errors import ChildError, SourceError
from daemon.core.media import DecoderStatus
from daemon.core.ports import Deliver
from daemon.core.records import Counters, Frame, Modality
from daemon.runtime.child import Child, RecordReceiver
from daemon.runtime.shared_ring import Record
from daemon.sources.capture.camera import capture_camera
from daemon.sources.capture.messages import PICTURE_SLOT_BYTES, WAITING_PICTURES, unpack_picture
from daemon.sources.picture import PicturePreparation

DEVICES = Path("/dev")
NAMES = Path("/sys/class/video4linux")

# From linux/videodev2.h: the request, the size of struct v4l2_capability, its member `driver`, the offset of its
# members `capabilities` and `device_caps`, and V4L2_CAP_VIDEO_CAPTURE.
VIDIOC_QUERYCAP = 0x8068_5600
QUERYCAP_BYTES = 104
DRIVER = slice(0, 16)
CAPS_OFFSET = 84
VIDEO_CAPTURE = 0x0000_0001

# Drivers of a Raspberry Pi for its camera modules. They give what a sensor sends, or process what a program gives them.
# Only libcamera makes pictures of that (opencv/opencv, issue 22820). A Pi has ten such devices, without any camera too.
CAMERA_MODULE_DRIVERS = (b"unicam", b"bcm2835-isp", b"rp1-cfe")

# How often `stop` is checked while no picture comes.
CHECK_STOP_S = 0.1


@dataclass(frozen=True)
class CameraDevice:
    """A camera: its device name for config.yaml, its number, and the name that it reports."""

    device: str
    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.device}  (number {self.number}: {self.name})"


@dataclass
class V4l2Camera:
    """Delivers the frames of a V4L2 device, stamped by its driver.

    `program` runs in the child process. A frame owns its pixels, copied once from the shared memory.
    """

    device: int | str
    counters: Mapping[Modality, Counters]
    picture: PicturePreparation
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    program: Callable[[str, str], None] = capture_camera
    drift_ppm: float | None = field(default=None, init=False)
    decoder: DecoderStatus | None = field(default=None, init=False)
    _child: Child | None = field(default=None, init=False)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the camera is missing, does not open, or ends."""
        self._check_exists()
        try:
            if self._child is not None:
                self._child.check_gone()
            with RecordReceiver(WAITING_PICTURES, PICTURE_SLOT_BYTES) as inlet, self._start(inlet) as child:
                self._child = child
                self._receive(child, inlet, deliver, stop)
        except ChildError as error:
            raise SourceError(f"camera {self.device}: {error}") from error

    def _check_exists(self) -> None:
        path = Path(f"/dev/video{self.device}" if isinstance(self.device, int) else self.device)
        if not path.exists():
            present = ", ".join(camera.device for camera in list_cameras())
            raise SourceError(f"camera {self.device}: there is no {path}; cameras here: {present or 'none'}")

    def _start(self, inlet: RecordReceiver) -> Child:
        settings = {"device": self.device, "width": self.width, "height": self.height, "fps": self.fps}
        return Child(self.program, inlet.address, json.dumps(settings), inherits=inlet.descriptors)

    def _receive(self, child: Child, inlet: RecordReceiver, deliver: Deliver, stop: Event) -> None:
        while not stop.is_set():
            for record in inlet.receive(child, CHECK_STOP_S):
                if record.payload:
                    self._take(record, deliver)

    def _take(self, record: Record, deliver: Deliver) -> None:
        picture = unpack_picture(record.payload)
        if record.lost:
            self.counters["image"].drop("overflow", record.lost)
        if picture.is_damaged:
            self.counters["image"].drop("corrupt")
            return
        pixels = np.frombuffer(record.payload, np.uint8, offset=picture.offset)
        plane = pixels.reshape(picture.height, picture.width, -1)
        deliver(self.picture.prepare(Frame((plane,), picture.captured_ns)))


def captures_video(path: Path) -> bool:
    """Return whether the device is a camera, not a camera's metadata, a codec, or a part of a camera module.

    A device that this user may not open counts as a camera.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        answer = fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, bytes(QUERYCAP_BYTES))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return is_camera_by(answer)


def is_camera_by(answer: bytes) -> bool:
    """Return whether the answer to VIDIOC_QUERYCAP, struct v4l2_capability, is that of a camera."""
    _, device_caps = struct.unpack_from("=II", answer, CAPS_OFFSET)
    driver = answer[DRIVER].partition(b"\0")[0]
    return bool(device_caps & VIDEO_CAPTURE) and driver not in CAMERA_MODULE_DRIVERS


def list_cameras(
    devices: Path = DEVICES, names: Path = NAMES, is_camera: Callable[[Path], bool] = captures_video
) -> list[CameraDevice]:
    """Return the V4L2 cameras, each by its persistent name under by-id where it has one."""
    persistent = {link.resolve(): link for link in sorted(devices.glob("v4l/by-id/*"))}
    numbered = [(int(path.name[5:]), path) for path in devices.glob("video*") if path.name[5:].isdecimal()]
    return [
        CameraDevice(str(persistent.get(path.resolve(), path)), number, _name(names / path.name / "name"))
        for number, path in sorted(numbered)
        if is_camera(path)
    ]


def _name(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return "unknown"

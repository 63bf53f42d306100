"""The cameras that the machine has."""

import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DEVICES = Path("/dev")
NAMES = Path("/sys/class/video4linux")

VIDIOC_QUERYCAP = 0x8068_5600
QUERYCAP_BYTES = 104
CAPS_OFFSET = 84
VIDEO_CAPTURE = 0x0000_0001
"""From linux/videodev2.h: the request, the size of struct v4l2_capability, where its `capabilities` and `device_caps`
stand, and V4L2_CAP_VIDEO_CAPTURE."""


@dataclass(frozen=True)
class CameraDevice:
    """A camera: the name config.yaml takes, its number, and what it calls itself."""

    device: str
    number: int
    name: str

    def __str__(self) -> str:
        return f"{self.device}  (number {self.number}: {self.name})"


def captures_video(path: Path) -> bool:
    """Whether the device is a camera, and not its metadata or a codec; where it may not be opened, it may be."""
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
    _, device_caps = struct.unpack_from("=II", answer, CAPS_OFFSET)
    return bool(device_caps & VIDEO_CAPTURE)


def list_cameras(
    devices: Path = DEVICES, names: Path = NAMES, is_camera: Callable[[Path], bool] = captures_video
) -> list[CameraDevice]:
    """The V4L2 cameras, each by its lasting name under by-id where it has one."""
    lasting = {link.resolve(): link for link in sorted(devices.glob("v4l/by-id/*"))}
    numbered = [(int(path.name[5:]), path) for path in devices.glob("video*") if path.name[5:].isdecimal()]
    return [
        CameraDevice(str(lasting.get(path.resolve(), path)), number, _name(names / path.name / "name"))
        for number, path in sorted(numbered)
        if is_camera(path)
    ]


def _name(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return "unknown"

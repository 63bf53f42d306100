"""What cameras send, what V4L2 devices offer, and which decoders work. Each is asked in a child process."""

import fcntl
import json
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon.config.node import Config
from daemon.config.streams import StreamConfig, is_url
from daemon.core.errors import SourceError
from daemon.doctor.hardware import words
from daemon.doctor.hardware.document import Camera, Decoding, VideoDevice
from daemon.doctor.probe import probe
from daemon.runtime.child_main import Failed
from daemon.sources.container import open_file
from daemon.sources.decoding.clip import check_decoder, time_software
from daemon.sources.decoding.ways import CODECS, WAYS, Way, absence
from daemon.sources.network.opening import StreamOpener, Transport

# to open a camera, which may need 20 s for its first picture
OPEN_S = 40.0

ANSWER_S = 5.0

# a decoder that hangs is killed then
DECODE_S = 30.0

# one device; a driver that hangs is left behind then
DEVICE_S = 5.0

MAX_DEVICES = 64

# linux/videodev2.h
VIDIOC_QUERYCAP, QUERYCAP_BYTES = 0x8068_5600, 104
VIDIOC_ENUM_FMT, FMTDESC_BYTES = 0xC040_5602, 64
CAPTURE_TYPES, OUTPUT_TYPES = (1, 9), (2, 10)
CAP_CAPTURE, CAP_M2M = 0x1001, 0xC000
FOURCC_OFFSET = 44
MAX_FORMATS = 64

DRIVERS, FORMATS, CODED = map(words.known, ("drivers", "formats", "codecs"))

TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")


def video_devices(root: Path = Path("/dev")) -> Iterator[VideoDevice]:
    """Ask each V4L2 device what it is."""
    for path in sorted(root.glob("video*"))[:MAX_DEVICES]:
        result = probe("V4L2", print_device, str(path), deadline_s=DEVICE_S)
        yield video_device({} if result.problem is not None else json.loads(result.output))


def video_device(found: Mapping[str, Any]) -> VideoDevice:
    """Return what a device has answered, as far as it is known."""
    capabilities = int(found.get("capabilities", 0))
    kind = "codec" if capabilities & CAP_M2M else "camera" if capabilities & CAP_CAPTURE else "other"
    return VideoDevice.model_validate(
        {
            "kind": kind,
            "driver": words.one_of(re.sub(r"\W*$", "", str(found.get("driver", ""))), DRIVERS),
            "formats": _fourccs(found.get("formats", ())),
            "coded": _fourccs(found.get("coded", ())),
        }
    )


def cameras(config: Config) -> Iterator[Camera]:
    """Open each camera and recording of the config, and return what it sends."""
    for stream in config.streams.values():
        source = _source_of(stream)
        if source is None:
            continue
        kind, device, transports = source
        if kind == "v4l2":
            yield Camera(kind="v4l2")  # its formats are those of its device
            continue
        result = probe("FFmpeg", print_stream, kind, device, *transports, deadline_s=OPEN_S)
        yield camera(kind, {"problem": result.problem} if result.problem is not None else json.loads(result.output))


def camera(kind: str, found: Mapping[str, Any]) -> Camera:
    """Return what a camera sends, as far as it is known."""
    problem = found.get("problem")
    return Camera.model_validate(
        {
            "kind": kind,
            "codec": words.one_of(str(found.get("codec")), CODED),
            "sound": words.one_of(str(found.get("sound")), CODED),
            "width": found.get("width"),
            "height": found.get("height"),
            "fps": found.get("fps"),
            "problem": None if problem is None else words.message(str(problem)),
        }
    )


def decoders() -> Iterator[Decoding]:
    """Try each decoder of pictures with a clip."""
    for codec in CODECS:
        yield _decoding(codec, "software", json.dumps(None))
        for way in WAYS:
            missing = absence(codec, way)
            if missing is not None:
                found = {"codec": codec, "way": way.name, "outcome": "absent", "said": words.message(missing)}
                yield Decoding.model_validate(found)
            else:
                yield _decoding(codec, way.name, json.dumps(asdict(way)))


def print_device(path: str) -> None:
    """In a child process: print what a V4L2 device is, as JSON. Raises Failed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise Failed(f"cannot be opened: {error.strerror}") from error
    try:
        answer = fcntl.ioctl(descriptor, VIDIOC_QUERYCAP, bytes(QUERYCAP_BYTES))
        driver, _, _, _, _, capabilities = struct.unpack_from("=16s32s32sIII", answer)
    except OSError as error:
        raise Failed(f"is no V4L2 device: {error.strerror}") from error
    found = {
        "driver": driver.split(b"\0")[0].decode("ascii", "replace"),
        "capabilities": capabilities,
        "formats": [each for kind in CAPTURE_TYPES for each in _formats(descriptor, kind)],
        "coded": [each for kind in OUTPUT_TYPES for each in _formats(descriptor, kind)],
    }
    print(json.dumps(found))  # noqa: T201  (the parent reads it)


def print_stream(kind: str, device: str, *transports: str) -> None:
    """In a child process: open a camera or a file, and print its codecs and its size as JSON. Raises Failed."""
    allowed: list[Transport] = [each for each in TRANSPORTS if each in transports]
    try:
        opener = StreamOpener(device, allowed, ANSWER_S, OPEN_S / 2)
        with opener.open() if kind == "network" else open_file(Path(device), {}) as container:
            video = next(iter(container.streams.video), None)
            sound = next(iter(container.streams.audio), None)
            rate = None if video is None else video.average_rate or video.guessed_rate
            found = {
                "codec": None if video is None else video.codec_context.codec.canonical_name,
                "sound": None if sound is None else sound.codec_context.codec.canonical_name,
                "width": None if video is None else video.width,
                "height": None if video is None else video.height,
                "fps": None if rate is None else round(float(rate), 1),
            }
    except SourceError as error:
        raise Failed(str(error)) from error
    print(json.dumps(found))  # noqa: T201  (the parent reads it)


def print_decoding(codec: str, way: str) -> None:
    """In a child process: decode the clip, and print the milliseconds for a picture as JSON. Raises Failed."""
    how = json.loads(way)
    print(json.dumps(time_software(codec) if how is None else check_decoder(codec, Way(**how))))  # noqa: T201


def _decoding(codec: str, way: str, how: str) -> Decoding:
    result = probe("FFmpeg", print_decoding, codec, how, deadline_s=DECODE_S)
    if result.problem is not None:
        said = words.message(result.problem)
        return Decoding.model_validate({"codec": codec, "way": way, "outcome": "failed", "said": said})
    took_ms = round(float(json.loads(result.output)), 2)
    return Decoding.model_validate({"codec": codec, "way": way, "outcome": "works", "ms_a_picture": took_ms})


def _formats(descriptor: int, kind: int) -> list[str]:
    found: list[str] = []
    for index in range(MAX_FORMATS):
        request = struct.pack("=II", index, kind).ljust(FMTDESC_BYTES, b"\0")
        try:
            answer = fcntl.ioctl(descriptor, VIDIOC_ENUM_FMT, request)
        except OSError:
            break  # the end of the list, or a device of another kind
        (fourcc,) = struct.unpack_from("4s", answer, FOURCC_OFFSET)
        found.append(fourcc.decode("ascii", "replace"))
    return found


def _fourccs(found: Iterable[object]) -> list[str]:
    """Return the formats that are known."""
    return [text for each in list(found)[:MAX_FORMATS] if (text := str(each).strip()) in FORMATS]


def _source_of(stream: StreamConfig) -> tuple[str, str, tuple[str, ...]] | None:
    """Return the kind of a stream's camera or recording, what names it, and the transports to try."""
    if stream.replay is not None:
        return "file", stream.replay.file, ()
    camera = stream.camera
    if camera is None or camera.view_of is not None:
        return None
    kind = "network" if is_url(camera.device) else "file" if camera.is_file else "v4l2"
    return kind, str(camera.device), camera.transports

"""Opens what FFmpeg reads, and turns what it decodes into frames and samples."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import soxr
from av.container import InputContainer

from daemon.core.errors import InputError, SourceError
from daemon.core.records import Array, Colours, Deferred, Frame, Plane
from daemon.core.timing import NS_PER_S, monotonic_ns

YUV_PLANES = frozenset({"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"})
"""FFmpeg's names of what Frame can hold as it is; those with a j are in full range."""

FULL_RANGE = 2
"""AVCOL_RANGE_JPEG; the others are limited or unsaid, which counts as limited, as in FFmpeg."""

MATRICES: Mapping[int, Literal["bt601", "bt709"]] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}
"""AVCOL_SPC_BT709, AVCOL_SPC_UNSPECIFIED (which counts as BT.601, as in FFmpeg), AVCOL_SPC_BT470BG and
AVCOL_SPC_SMPTE170M."""

NO_ANSWER = "no answer in time"
"""FFmpeg's words are "Immediate exit requested", or, from an RTSP camera, "Invalid data found"."""

REFUSALS: Mapping[type[av.FFmpegError], str] = {
    av.HTTPUnauthorizedError: "refused the login: check user and password in camera.device",
    av.HTTPForbiddenError: "refused the login: this user may not see it; check user and password in camera.device",
    av.HTTPNotFoundError: "has no such path: check the path in camera.device",
}
"""What a camera answers that only the operator can set right; RTSP has the same answers as HTTP."""


def open_container(
    location: str, label: str, *, options: Mapping[str, str], timeout_s: tuple[float, float] | None
) -> InputContainer:
    """Open a file or URL; `timeout_s` is for opening and for each read. Raises SourceError, naming only `label`."""
    asked_ns = monotonic_ns()
    try:
        return av.open(location, options=dict(options), timeout=timeout_s)
    except (av.FFmpegError, OSError, ValueError) as error:
        if timeout_s and monotonic_ns() - asked_ns >= timeout_s[0] * NS_PER_S:
            raise SourceError(f"{label}: cannot be opened: {NO_ANSWER}") from None
        raise failure(label, "cannot be opened", error) from None


def failure(label: str, what: str, error: Exception) -> SourceError:
    """The error to raise for one of PyAV's, whose own text and filename may hold a URL with its password."""
    for kind, words in REFUSALS.items():
        if isinstance(error, kind):
            return SourceError(f"{label}: {words}")
    reason = NO_ANSWER if isinstance(error, av.ExitError) else getattr(error, "strerror", None) or type(error).__name__
    return SourceError(f"{label}: {what}: {reason}")


def use_one_thread(container: InputContainer) -> None:
    """Decode in the reading thread: frame threads add a frame of delay each."""
    for stream in (*container.streams.video, *container.streams.audio):
        stream.codec_context.thread_count = 1


def pts_ns(decoded: "av.VideoFrame | av.AudioFrame | av.Packet[av.stream.Stream]") -> int | None:
    """The presentation time in nanoseconds, where there is one."""
    pts, time_base = decoded.pts, decoded.time_base
    if pts is None or time_base is None:
        return None
    return pts * time_base.numerator * NS_PER_S // time_base.denominator


def to_frame(picture: av.VideoFrame, captured_ns: int) -> Frame:
    """The picture as a frame: the decoder's own planes where Frame can hold them, else what they are converted to.

    That is done when its planes are asked for, which then raises InputError where FFmpeg cannot.
    """
    colours = _colours(picture)
    if colours is None:
        return Frame(Deferred(partial(_converted, picture)), captured_ns)
    return Frame(tuple(_view(plane) for plane in picture.planes), captured_ns, colours)


def _colours(picture: av.VideoFrame) -> Colours | None:
    """Those of planes that Frame can hold; None where it cannot."""
    name, matrix = picture.format.name, MATRICES.get(picture.colorspace)
    if name not in YUV_PLANES or matrix is None or picture.width % 2 or picture.height % 2:
        return None
    return Colours(matrix, name.startswith("yuvj") or picture.color_range == FULL_RANGE)


def _converted(picture: av.VideoFrame) -> tuple[Plane, ...]:
    try:
        pixels: Plane = picture.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"a picture of format {picture.format.name} cannot be converted: {error}") from error
    return (pixels,)


def _view(plane: av.video.plane.VideoPlane) -> Plane:
    # the array holds the plane, and the plane the decoder's buffer
    values = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size]
    rows: Plane = values.reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def to_samples(sound: av.AudioFrame, channel: int) -> Array:
    """One channel, counted from 0, as float32 (n,) in [-1, 1]. Raises SourceError when there is no such channel."""
    values = sound.to_ndarray()
    channels = sound.layout.nb_channels
    if channel >= channels:
        raise SourceError(f"channel {channel + 1} is asked for; the sound has {channels}")
    values = values[channel] if sound.format.is_planar else values.reshape(-1, channels)[:, channel]
    samples: Array = values.astype(np.float32)
    if values.dtype == np.uint8:
        samples -= 128
    if values.dtype.kind != "f":
        samples /= {1: 2**7, 2: 2**15, 4: 2**31}[values.dtype.itemsize]
    return samples


MAX_SOUND_S = 600
"""A labelled sound is seconds long; what is longer belongs into a replay."""


def read_picture(path: Path) -> Frame:
    """The picture as a BGR frame stamped 0. Raises InputError when it cannot be read."""
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, ValueError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if pixels is None:
        raise InputError(f"{path}: not a picture that can be decoded")
    plane: Plane = pixels.astype(np.uint8, copy=False)
    return Frame((plane,), 0)


def read_sound(path: Path, sample_rate_hz: int) -> Array:
    """The first channel of the file's sound at the given rate: float32 (n,). Raises InputError."""
    try:
        with av.open(str(path), timeout=5.0) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
            rate_hz = stream.codec_context.sample_rate
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a sound that can be decoded: {error}") from error
    if not frames:
        raise InputError(f"{path}: holds no sound")
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    if len(samples) > MAX_SOUND_S * rate_hz:
        raise InputError(f"{path}: longer than {MAX_SOUND_S} s")
    resampled: Array = soxr.resample(samples, rate_hz, sample_rate_hz).astype(np.float32)
    return resampled

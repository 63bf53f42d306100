"""Opens files and URLs with FFmpeg, and converts decoded pictures and sound to frames and samples."""

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import av
import cv2
import numpy as np
import soxr
from av.container import InputContainer
from av.sidedata.sidedata import SideData, SideDataContainer

from daemon.core.errors import CameraRefusal, InputError, SourceError
from daemon.core.records import Array, Colours, Deferred, Frame, Plane
from daemon.core.timing import NS_PER_S
from daemon.sources.files.integrity import problem_at_end, problem_of_length
from daemon.sources.orientation import UPRIGHT, Orientation, orientation_of, rotation_matrix

Packet: TypeAlias = "av.Packet[av.stream.Stream]"

# FFmpeg's names of the pixel formats that a Frame holds without conversion. Formats with a j have full range.
YUV_PLANES = frozenset({"yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"})

# AVCOL_RANGE_JPEG. Any other range is limited. FFmpeg takes an unspecified range as limited too.
FULL_RANGE = 2

# AVCOL_SPC_BT709, AVCOL_SPC_UNSPECIFIED (BT.601 in FFmpeg too), AVCOL_SPC_BT470BG and AVCOL_SPC_SMPTE170M.
MATRICES: Mapping[int, Literal["bt601", "bt709"]] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}

# FFmpeg says "Immediate exit requested", or "Invalid data found" for an RTSP camera.
NO_ANSWER = "no answer in time"

# Answers of a camera that only the operator can correct. RTSP has the same answers as HTTP.
REFUSALS: Mapping[type[av.FFmpegError], tuple[str, str]] = {
    av.HTTPUnauthorizedError: ("refused the login", "check user and password in camera.device"),
    av.HTTPForbiddenError: ("refused access for this user", "check user and password in camera.device"),
    av.HTTPNotFoundError: ("has no such path", "check the path in camera.device"),
}

# PyAV counts the planes of a sound up to the first that is missing. With more it reads memory that is not the sound's.
MAX_PLANES = 7

# Labelled sounds are a few seconds long. Longer ones can be played by a replay.
MAX_SOUND_S = 600


def open_file(path: Path, options: Mapping[str, str]) -> InputContainer:
    """Open a file. Raises SourceError."""
    try:
        # a name that a recorder writes in another encoding is no reason not to open the file
        return av.open(str(path), options=dict(options), metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise failure(str(path), "cannot be opened", error) from None


def failure(label: str, step: str, error: Exception) -> SourceError:
    """Return the SourceError for an error of PyAV, without the URL, which may contain a password.

    `step` says what fails, such as "cannot be opened".
    """
    for kind, (found, remedy) in REFUSALS.items():
        if isinstance(error, kind):
            return CameraRefusal(f"{label}: {found}", remedy)
    return SourceError(f"{label}: {step}: {NO_ANSWER if isinstance(error, av.ExitError) else reason_of(error)}")


def reason_of(error: Exception) -> str:
    """Return what an error of PyAV says, without the URL."""
    return getattr(error, "strerror", None) or type(error).__name__


def use_one_thread(container: InputContainer) -> None:
    """Decode in the reading thread, because each decoder thread adds a frame of delay."""
    for stream in (*container.streams.video, *container.streams.audio):
        if has_decoder(stream):
            stream.codec_context.thread_count = 1


def has_decoder(stream: "av.stream.Stream") -> bool:
    """Return whether FFmpeg can decode a stream. PyAV gives other streams no codec context."""
    context: object = stream.codec_context
    return context is not None


def pts_ns(decoded: "av.VideoFrame | av.AudioFrame | Packet") -> int | None:
    """Return the presentation time in nanoseconds, or None."""
    return ticks_ns(decoded.pts, decoded.time_base)


def ticks_ns(ticks: int | None, time_base: Fraction | None) -> int | None:
    """Return a time of FFmpeg in nanoseconds, or None where it is not known."""
    if ticks is None or time_base is None:
        return None
    return ticks * time_base.numerator * NS_PER_S // time_base.denominator


def to_frame(picture: av.VideoFrame, captured_ns: int) -> Frame:
    """Return the picture, upright, as a frame of the decoder's planes, or of BGR if Frame does not hold their format.

    The planes are made when they are used: their views, the conversion to BGR, and the turn of a picture that is stored
    turned. The conversion raises InputError if FFmpeg cannot convert.
    """
    colours = _colours(picture)
    if colours is None:
        frame = Frame(Deferred(partial(_to_bgr, picture)), captured_ns)
    else:
        frame = Frame(Deferred(partial(_planes, picture)), captured_ns, colours)
    orientation = _orientation(picture)
    return frame if orientation == UPRIGHT else frame.deferred(orientation.turn)


def is_turned(picture: av.VideoFrame) -> bool:
    """Return whether a picture is stored turned or mirrored."""
    return _orientation(picture) != UPRIGHT


def to_samples(sound: av.AudioFrame, channel: int) -> Array:
    """Return one channel, counted from 0: float32 (n,) in [-1, 1]. Raises SourceError when the channel is missing."""
    channels = sound.layout.nb_channels
    if channel >= channels:
        raise SourceError(f"channel {channel + 1} is configured, but the sound has {channels}")
    if sound.format.is_planar and channels > MAX_PLANES:
        sound = _interleaved(sound)
    values = sound.to_ndarray()
    values = values[channel] if sound.format.is_planar else values.reshape(-1, channels)[:, channel]
    samples: Array = values.astype(np.float32)
    if values.dtype == np.uint8:
        samples -= 128
    if values.dtype.kind != "f":
        samples /= {1: 2**7, 2: 2**15, 4: 2**31}[values.dtype.itemsize]
    return samples


def read_picture(path: Path) -> Frame:
    """Return the picture in a file, upright, as a BGR frame with stamp 0. Raises InputError when it cannot be read."""
    try:
        # without IMREAD_IGNORE_ORIENTATION, so that OpenCV turns the picture as its EXIF data say
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, ValueError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if pixels is None:
        raise InputError(f"{path}: not a picture that can be decoded")
    plane: Plane = pixels.astype(np.uint8, copy=False)
    return Frame((plane,), 0)


def read_sound(path: Path, sample_rate_hz: int) -> Array:
    """Return the first channel of the sound in a file, at the given rate: float32 (n,). Raises InputError."""
    try:
        with av.open(str(path), timeout=5.0, metadata_errors="replace") as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt")
            frames: list[av.AudioFrame] = []
            first_byte = 0
            for packet in container.demux(stream):
                first_byte = first_byte or packet.pos or 0
                frames += (part for decoded in packet.decode() for part in resampler.resample(decoded))
            rate_hz = stream.codec_context.sample_rate
            end_ns = sum(frame.samples for frame in frames) * NS_PER_S // rate_hz
            problem = problem_at_end(path) or problem_of_length(container, first_byte, end_ns)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a sound that can be decoded: {error}") from error
    if problem:
        raise InputError(f"{path}: {problem}")
    if not frames:
        raise InputError(f"{path}: contains no sound")
    samples = np.concatenate([to_samples(frame, 0) for frame in frames])
    if len(samples) > MAX_SOUND_S * rate_hz:
        raise InputError(f"{path}: longer than {MAX_SOUND_S} s")
    return resampled(samples, rate_hz, sample_rate_hz)


def resampled(samples: Array, rate_hz: int, sample_rate_hz: int) -> Array:
    """Return sound (float32 of shape (n,)) at another rate."""
    found: Array = soxr.resample(samples, rate_hz, sample_rate_hz).astype(np.float32)
    return found


def _interleaved(sound: av.AudioFrame) -> av.AudioFrame:
    """Return the same sound with all channels in one plane. Raises SourceError when FFmpeg cannot convert it."""
    try:
        (interleaved,) = av.AudioResampler(format="flt").resample(sound)
    except (av.FFmpegError, ValueError) as error:
        raise SourceError(f"sound with {sound.layout.nb_channels} channels cannot be converted") from error
    return interleaved


def _orientation(picture: av.VideoFrame) -> Orientation:
    """Return the orientation that the file or the stream states for the picture."""
    try:
        # `picture.side_data` would hold the picture and be held by it, and only the garbage collector would free both
        matrix = SideDataContainer(picture).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # PyAV's stub lacks it
    except ValueError:
        # PyAV knows no side data of this kind, such as EXIF, and shows none then. The angle lacks only the mirror
        return orientation_of(rotation_matrix(-picture.rotation))
    return orientation_of(np.frombuffer(bytes(matrix), np.int32, 9)) if isinstance(matrix, SideData) else UPRIGHT


def _colours(picture: av.VideoFrame) -> Colours | None:
    """Return the colours of the planes, or None if Frame does not hold their format."""
    name, matrix = picture.format.name, MATRICES.get(picture.colorspace)
    if name not in YUV_PLANES or matrix is None or picture.width % 2 or picture.height % 2:
        return None
    return Colours(matrix, name.startswith("yuvj") or picture.color_range == FULL_RANGE)


def _to_bgr(picture: av.VideoFrame) -> tuple[Plane, ...]:
    try:
        pixels: Plane = picture.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"a picture of format {picture.format.name} cannot be converted: {error}") from error
    return (pixels,)


def _planes(picture: av.VideoFrame) -> tuple[Plane, ...]:
    return tuple(_view(plane) for plane in picture.planes)


def _view(plane: av.video.plane.VideoPlane) -> Plane:
    # the array keeps the plane alive, and the plane the decoder's buffer
    values = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size]
    rows: Plane = values.reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]

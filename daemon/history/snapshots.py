"""The picture of an event as JPEG. The one door of this room to OpenCV."""

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np

from daemon.core.errors import InputError
from daemon.core.media import MediaPacket
from daemon.core.records import Frame, Plane
from daemon.core.timing import NS_PER_S
from daemon.history.track_formats import can_write, extradata_of

MAX_WIDTH = 1280
QUALITY = 85

# what a camera may send; decoding a larger one takes memory that a small computer has not got
MAX_PIXELS = 8192 * 4320

# of one snapshot: a key frame comes more often
MAX_DECODED = 1000

# in this order, until a picture is small enough; then its width is halved
QUALITIES = (80, 65, 50, 35)
MIN_WIDTH = 80

# FFmpeg's names
MATRICES = {"bt601": "ITU601", "bt709": "ITU709"}
SUBSAMPLING = {(2, 2): "yuv420p", (1, 2): "yuv422p", (2, 1): "yuv440p", (1, 1): "yuv444p"}


def jpeg_of(frame: Frame, quality: int = QUALITY) -> bytes:
    """Return a frame as JPEG of at most MAX_WIDTH pixels. Raises InputError when it cannot be converted."""
    width, height = frame.size
    if len(frame.planes) == 1:
        return _encoded(_narrowed(frame.planes[0]), quality)
    luma, chroma = frame.planes[0].shape, frame.planes[1].shape
    try:
        picture = av.VideoFrame(width, height, SUBSAMPLING[luma[0] // chroma[0], luma[1] // chroma[1]])
        for plane, values in zip(picture.planes, frame.planes, strict=True):
            rows = np.zeros((plane.height, plane.line_size), np.uint8)
            rows[:, : plane.width] = values
            plane.update(rows.tobytes())
        colours = frame.colours
        found = picture.reformat(
            *narrow_size(width, height),
            format="bgr24",
            src_colorspace=MATRICES[colours.matrix],
            src_color_range="JPEG" if colours.is_full_range else "MPEG",
        )
        return _encoded(found.to_ndarray().astype(np.uint8, copy=False), quality)
    except (av.FFmpegError, ValueError, KeyError) as error:
        raise InputError(f"a picture of {width} x {height} pixels cannot become a JPEG: {error}") from error


def snapshot_of(packets: Sequence[MediaPacket], at_ns: int) -> bytes | None:
    """Return the picture nearest to `at_ns` as JPEG. None: the packets have none that can be decoded.

    `packets` begin at a key frame at or before `at_ns`. A picture that the node has made is returned as it is.
    """
    pictures = [packet for packet in packets if packet.format.kind == "video" and can_write(packet.format)]
    own = [packet for packet in pictures if packet.format.is_own_picture]
    if own:
        return min(own, key=lambda packet: abs(packet.captured_ns - at_ns)).data
    keys = [number for number, packet in enumerate(pictures) if packet.is_key]
    first = max((number for number in keys if pictures[number].captured_ns <= at_ns), default=keys[0] if keys else None)
    if first is None:
        return None
    found = _nearest(pictures[first : first + MAX_DECODED], at_ns)
    try:
        if found is None or not 0 < found.width * found.height <= MAX_PIXELS:
            return None
        size = narrow_size(found.width, found.height)
        pixels = found.reformat(*size, format="bgr24").to_ndarray()
        return _encoded(pixels.astype(np.uint8, copy=False), QUALITY)
    except (av.FFmpegError, ValueError, InputError):
        return None


def shrunk_jpeg(jpeg: bytes, max_bytes: int) -> bytes | None:
    """Return a JPEG of ours with at most `max_bytes`: as it is, of less quality, or smaller. None: it cannot be."""
    if len(jpeg) <= max_bytes:
        return jpeg
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if found is None:
        return None
    pixels = np.asarray(found, np.uint8)
    while pixels.shape[1] >= MIN_WIDTH:
        for quality in QUALITIES:
            smaller = _encoded(pixels, quality)
            if len(smaller) <= max_bytes:
                return smaller
        height, width = pixels.shape[:2]
        size = (width // 2, max(1, height // 2))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return None


def _nearest(packets: Sequence[MediaPacket], at_ns: int) -> av.VideoFrame | None:
    """Decode from the first packet, which has a key frame, up to the picture nearest to `at_ns`."""
    first = packets[0]
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(first.format.codec, "r"))
    decoder.thread_count = 1
    decoder.extradata = extradata_of(first) or None
    best: tuple[int, av.VideoFrame] | None = None
    try:
        for coded in (*[_coded(packet) for packet in packets if packet.format is first.format], None):
            for picture in _decoded(decoder, coded):
                if picture.pts is not None and (best is None or abs(picture.pts - at_ns) < abs(best[0] - at_ns)):
                    best = picture.pts, picture
                if picture.pts is not None and picture.pts >= at_ns:
                    return best[1] if best else None
    except (av.FFmpegError, ValueError):
        return best[1] if best else None
    return best[1] if best else None


def _decoded(decoder: av.VideoCodecContext, coded: "av.Packet[av.VideoStream] | None") -> list[av.VideoFrame]:
    """Return the pictures that a packet completes; none if it is damaged. None as packet: the last pictures."""
    try:
        return decoder.decode(coded)
    except av.InvalidDataError:
        return []


def _coded(packet: MediaPacket) -> "av.Packet[av.VideoStream]":
    coded = cast("av.Packet[av.VideoStream]", av.Packet(packet.data))
    coded.pts, coded.time_base = packet.captured_ns, Fraction(1, NS_PER_S)
    coded.is_keyframe = packet.is_key
    return coded


def narrow_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of a picture at most MAX_WIDTH wide."""
    return (width, height) if width <= MAX_WIDTH else (MAX_WIDTH, max(1, height * MAX_WIDTH // width))


def _narrowed(pixels: Plane) -> Plane:
    height, width = pixels.shape[:2]
    size = narrow_size(width, height)
    if size == (width, height):
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _encoded(pixels: Plane, quality: int) -> bytes:
    done, found = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise InputError("a picture cannot become a JPEG")
    return bytes(found)

"""Decodes a clip in hardware and in software, and compares the pictures. For child processes."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from daemon.core.timing import NS_PER_MS, monotonic_ns
from daemon.runtime.child_main import Failed
from daemon.sources.decoding.context import HardwareContext, as_planar
from daemon.sources.decoding.ways import Way

# 12 pictures of 336x200 with two key pictures and pictures out of order, made with x264 and x265. The height is no
# multiple of 16, as that of 1080 lines: a decoder must cut the rest off.
CLIPS = Path(__file__).with_name("clips")

# The mean difference of levels. Decoders of one codec agree exactly; a conversion of the format may round.
MAX_DIFFERENCE = 1.0


def check_decoder(codec: str, way: Way) -> float:
    """Decode the clip of a codec in hardware. Return the milliseconds for a picture.

    Raises Failed when the pictures are not those of the software.
    """
    data = _clip(codec)
    expected = [_pixels(picture) for picture in _decoded(data)]
    started_ns = monotonic_ns()
    pictures = _decoded_in_hardware(data, codec, way)
    took_ms = (monotonic_ns() - started_ns) / NS_PER_MS
    problem = difference(expected, [_pixels(picture) for picture in pictures])
    if problem is not None:
        raise Failed(problem)
    return took_ms / len(expected)


def time_software(codec: str) -> float:
    """Decode the clip of a codec in software. Return the milliseconds for a picture."""
    data = _clip(codec)
    started_ns = monotonic_ns()
    count = len(_decoded(data))
    return (monotonic_ns() - started_ns) / NS_PER_MS / count


def difference(expected: Sequence[Any], found: Sequence[Any]) -> str | None:
    """Return how pictures (uint8 arrays of shape (3 H / 2, W)) differ from the expected ones, or None."""
    if len(found) != len(expected):
        return f"it gives {len(found)} of the {len(expected)} pictures of the clip"
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        if one.shape != other.shape:
            return f"its picture {number} has the shape {other.shape}, expected {one.shape}"
        by = float(np.abs(one.astype(np.int16) - other).mean())
        if by > MAX_DIFFERENCE:
            return f"its picture {number} differs by {by:.1f} levels from that of the software"
    return None


def _clip(codec: str) -> bytes:
    return (CLIPS / f"{codec}.ts").read_bytes()


def _decoded(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data), format="mpegts") as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [as_planar(picture) for picture in container.decode(video=0)]


def _decoded_in_hardware(data: bytes, codec: str, way: Way) -> list[av.VideoFrame]:
    decoder = HardwareContext(codec, way, None)
    by_number: dict[int, av.VideoFrame] = {}
    order: dict[int, int] = {}
    with av.open(io.BytesIO(data), format="mpegts") as container:
        for number, packet in enumerate(packet for packet in container.demux(video=0) if packet.size):
            order[number] = packet.pts or 0
            by_number |= _by_number(decoder.decode(bytes(packet), number, is_key=packet.is_keyframe))
        by_number |= _by_number(decoder.finish())
    return _in_order(by_number, order)


def _by_number(pictures: Sequence[tuple[int, av.VideoFrame]]) -> dict[int, av.VideoFrame]:
    return dict(pictures)


def _in_order(pictures: Mapping[int, av.VideoFrame], order: Mapping[int, int]) -> list[av.VideoFrame]:
    """Return the pictures in the order in which they are shown. One of an unknown packet is left out."""
    return [pictures[number] for number in sorted(order, key=order.__getitem__) if number in pictures]


def _pixels(picture: av.VideoFrame) -> Any:
    return picture.to_ndarray()

"""Coded pictures and sound as a camera sent them, which the history keeps without decoding."""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """How the packets of one track of one opening of a camera are coded. `codec` is FFmpeg's name, such as `h264`.

    `width` and `height` are those of pictures, in pixels; `sample_rate_hz` and `channels` those of sound. The others
    are 0. `extradata` is what a decoder needs beside the packets, in FFmpeg's form. `is_own_picture`: these are
    pictures that the node has coded itself, after masks and region.
    """

    kind: Literal["video", "audio"]
    codec: str
    extradata: bytes | None = None
    width: int = 0
    height: int = 0
    sample_rate_hz: int = 0
    channels: int = 0
    is_own_picture: bool = False


@dataclass(frozen=True, slots=True)
class MediaPacket:
    """One coded picture, or some coded sound.

    `pts_ns` and `dts_ns` are on the clock of the camera, which the tracks of one opening share. `captured_ns` is
    `pts_ns` on this machine's clock, and `delay_ns` has the same meaning as that of a frame.
    The packets of one track have the same `format` object for as long as they can be one film: until the camera is
    opened again, its pictures change their size, or its clock jumps. `dts_ns` rises from packet to packet.
    """

    format: MediaFormat
    data: bytes
    pts_ns: int
    dts_ns: int
    captured_ns: int
    is_key: bool
    delay_ns: int = 0


class PacketSink(Protocol):
    """Takes the packets of one stream's camera, in the order in which they come."""

    def __call__(self, packet: MediaPacket, /) -> None:
        """Take a packet on the thread of the source. Never blocks."""

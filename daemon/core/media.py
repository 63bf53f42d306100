"""Coded pictures and sound as a camera sent them: what the history keeps of them, and what decodes them."""

from dataclasses import dataclass
from typing import Literal, Protocol

# what decodes the pictures of a network camera or a file. auto: the first of the others that works here
DecoderSetting = Literal["auto", "software", "v4l2m2m", "drm"]


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


@dataclass(frozen=True, slots=True)
class DecoderStatus:
    """What decodes the pictures of a camera: `software`, or a way to decode in hardware.

    `failures` counts how often the hardware has failed after it had decoded. `reason` says why the hardware does not
    decode although the config allows it; None: it does, or the config does not.
    """

    name: str
    codec: str
    failures: int = 0
    reason: str | None = None

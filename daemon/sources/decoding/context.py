"""A decoder of the hardware, through FFmpeg. For child processes: it may hang, or end its process."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.codec.hwaccel import HWAccel

from daemon.runtime.child_main import Failed
from daemon.sources.decoding.layout import FORMATS
from daemon.sources.decoding.ways import Way

# V4L2 keeps the time of a picture in microseconds. A packet's number passes through it unchanged.
TICK = Fraction(1, 1_000_000)


class HardwareContext:
    """One decoder. Its pictures are in memory of the processor, and have the numbers of their packets."""

    def __init__(self, codec: str, way: Way, extradata: bytes | None) -> None:
        """Raises Failed when there is no such decoder."""
        try:
            self._context = _context(codec, way)
            # the decoder rescales times by it; a context that no container has made has none
            self._context.options = {"pkt_timebase": f"{TICK.numerator}/{TICK.denominator}"}
            self._context.extradata = extradata
            self._context.open()
        except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
            raise _unopened(codec, way, str(error)) from error

    def decode(self, data: bytes, number: int, *, is_key: bool) -> list[tuple[int, av.VideoFrame]]:
        """Decode one packet. Return the pictures that are ready. Raises av.FFmpegError when the packet is damaged."""
        packet = av.Packet(data)
        packet.pts = packet.dts = number
        packet.time_base = TICK
        packet.is_keyframe = is_key
        return self._numbered(self._context.decode(packet))

    def finish(self) -> list[tuple[int, av.VideoFrame]]:
        """Return the pictures that are left. The next packet begins anew."""
        pictures = self._numbered(self._context.decode(None))
        self._context.flush_buffers()
        return pictures

    @staticmethod
    def _numbered(pictures: list[av.VideoFrame]) -> list[tuple[int, av.VideoFrame]]:
        return [(-1 if picture.pts is None else picture.pts, as_planar(picture)) for picture in pictures]


def as_planar(picture: av.VideoFrame) -> av.VideoFrame:
    """Return a picture in one of the formats that are sent."""
    return picture if picture.format.name in FORMATS else picture.reformat(format=FORMATS[0])


def _context(codec: str, way: Way) -> av.VideoCodecContext:
    name = way.decoder_of(codec)
    if way.device is None:
        return cast(av.VideoCodecContext, av.CodecContext.create(name, "r"))
    problem: Exception | None = None
    # some builds of FFmpeg find the device themselves
    for device in (None, *map(str, sorted(Path("/dev/dri").glob("*D*")))):
        accelerator = HWAccel(way.device, device, allow_software_fallback=False)
        try:
            context = av.CodecContext.create(name, "r", accelerator)
        except (av.FFmpegError, OSError) as error:
            problem = problem or error
            continue
        if context.is_hwaccel:
            return cast(av.VideoCodecContext, context)
    raise _unopened(codec, way, f"by {way.device}: {problem or 'this build of FFmpeg cannot'}")


def _unopened(codec: str, way: Way, problem: str) -> Failed:
    hint = "" if way.hint is None else f"; {way.hint}"
    return Failed(f"{way.decoder_of(codec)} cannot be opened: {problem}{hint}")

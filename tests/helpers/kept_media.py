"""Coded packets as a camera sends them, from files that real encoders have written, and what is seen in a clip."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from daemon.core.media import MediaFormat, MediaPacket
from daemon.core.records import Block
from daemon.core.timing import NS_PER_S
from tests.helpers.clips import BEEP_S
from tests.helpers.jpegs import jpeg

# when the first picture of a file was captured
START_NS = 1_000 * NS_PER_S


def packets_of(path: Path, start_ns: int = START_NS) -> list[MediaPacket]:
    """Return the packets of a file in their order there. Its first picture is captured at `start_ns`."""
    with av.open(str(path)) as container:
        first_ns = _ns(next(container.demux(video=0)), "pts")
    with av.open(str(path)) as container:
        formats = {stream.index: _format_of(stream) for stream in container.streams}
        found = []
        for packet in container.demux():
            if packet.dts is None or packet.pts is None:
                continue
            pts_ns, of = _ns(packet, "pts"), formats[packet.stream.index]
            captured_ns = start_ns + pts_ns - first_ns
            found.append(MediaPacket(of, bytes(packet), pts_ns, _ns(packet, "dts"), captured_ns, packet.is_keyframe))
    return found


def reopened(packets: Sequence[MediaPacket], after_ns: int, **changes: int) -> list[MediaPacket]:
    """Return the packets as those of a camera that was opened again later, with what changes of its formats."""
    formats = {id(packet.format): replace(packet.format) for packet in packets}
    for key, of in formats.items():
        formats[key] = replace(of, **changes) if of.kind == "video" else of
    return [
        replace(packet, format=formats[id(packet.format)], captured_ns=packet.captured_ns + after_ns)
        for packet in packets
    ]


def own_pictures(count: int, *, white: Sequence[int] = (), rate_hz: int = 5) -> list[MediaPacket]:
    """Return pictures of the node's own: dark, but for the white ones."""
    of = MediaFormat("video", "mjpeg", width=64, height=48, is_own_picture=True)
    times = [START_NS + number * NS_PER_S // rate_hz for number in range(count)]
    shades = [240 if number in white else 40 for number in range(count)]
    return [MediaPacket(of, jpeg(shade), at, at, at, True) for shade, at in zip(shades, times, strict=True)]


def blocks(
    seconds: float, *, beeps_s: Sequence[float] = (), rate_hz: int = 16_000, start_ns: int = START_NS
) -> list[Block]:
    """Return silence with beeps, in blocks of 20 ms."""
    samples = np.zeros(round(seconds * rate_hz), np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(round(BEEP_S * rate_hz)) / rate_hz)
    for at in beeps_s:
        samples[round(at * rate_hz) :][: len(tone)] = tone
    step = rate_hz // 50
    return [
        Block(samples[at : at + step], rate_hz, start_ns + at * NS_PER_S // rate_hz)
        for at in range(0, len(samples), step)
    ]


def flashes_of(path: Path) -> list[float]:
    """Return when white pictures begin, in seconds of the film."""
    with av.open(str(path)) as container:
        levels = [(picture.time, picture.to_ndarray(format="gray").mean()) for picture in container.decode(video=0)]
    return [at for (at, level), (_, before) in zip(levels[1:], levels, strict=False) if before < 150 < level]


def beeps_of(path: Path) -> list[float]:
    """Return when beeps begin, in seconds of the film."""
    with av.open(str(path)) as container:
        resampler, found = av.AudioResampler(format="flt", layout="mono", rate=48_000), []
        for sound in container.decode(audio=0):
            for part in resampler.resample(sound):
                loud = np.flatnonzero(np.abs(part.to_ndarray()[0]) > 0.1)
                if len(loud):
                    found.append(part.time + loud[0] / 48_000)
    return [at for number, at in enumerate(found) if number == 0 or at - found[number - 1] > 0.2]


def _ns(packet: "av.Packet[av.stream.Stream]", key: str) -> int:
    return int(getattr(packet, key) * packet.time_base * NS_PER_S)


def _format_of(stream: "av.stream.Stream") -> MediaFormat:
    context = stream.codec_context
    if stream.type == "video":
        return MediaFormat("video", context.name, context.extradata, context.width, context.height)
    return MediaFormat(
        "audio", context.name, context.extradata, sample_rate_hz=context.sample_rate, channels=context.channels
    )

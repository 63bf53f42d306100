"""MPEG transport streams of bars and a tone, whose times of 33 bits begin anew on the way."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from tests.helpers.bars import draw_bars, draw_tone

CLOCK_HZ = 90_000
WRAP_S = Fraction(2**33, CLOCK_HZ)

SOUND_HZ = 16_000
SAMPLES = 1024  # of a frame of AAC


class _Pieces:
    """A file that keeps what is written to it, with the time in the stream at which it was written."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pieces: list[tuple[float, bytes]] = []

    def write(self, data: bytes) -> int:
        self.pieces.append((self.now_s, bytes(data)))
        return len(data)


def transport_stream(*, seconds: float, wraps_after_s: float, fps: int = 10) -> Sequence[tuple[float, bytes]]:
    """Return the pieces of a stream of H.264 and AAC in their order, each with its time since the start."""
    pieces = _Pieces()
    with av.open(pieces, "w", format="mpegts", options={"flush_packets": "1"}) as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(fps)}
        audio = container.add_stream("aac", rate=SOUND_HZ)
        audio.layout = "mono"
        packets = [*_picture(video, seconds, fps), *_sound(audio, seconds)]
        for packet in sorted(packets, key=_sent_s):
            pieces.now_s = float(_sent_s(packet))
            shift = round((WRAP_S - Fraction(wraps_after_s)) / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            container.mux(packet)
    return pieces.pieces


def _picture(video: av.VideoStream, seconds: float, fps: int) -> list[av.Packet]:
    bars = draw_bars((320, 240))
    packets: list[av.Packet] = []
    for number in range(round(seconds * fps)):
        frame = av.VideoFrame.from_ndarray(bars, format="bgr24")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        packets += video.encode(frame)
    return [*packets, *video.encode()]


def _sound(audio: av.AudioStream, seconds: float) -> list[av.Packet]:
    tone = draw_tone(seconds, SOUND_HZ)
    packets: list[av.Packet] = []
    for start in range(0, len(tone), SAMPLES):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone[None, start : start + SAMPLES]), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, start, Fraction(1, SOUND_HZ)
        packets += audio.encode(frame)
    return [*packets, *audio.encode()]


def _sent_s(packet: av.Packet) -> Fraction:
    return Fraction(packet.dts * packet.time_base)

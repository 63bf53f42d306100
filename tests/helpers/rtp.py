"""RTP and RTCP packets of H.264 pictures and G.711 sound, for a camera whose every byte a test controls."""

import struct
from base64 import b64encode
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

NAL_START = b"\0\0\0\1"
VIDEO_HZ, AUDIO_HZ = 90_000, 8000
VIDEO_TYPE, AUDIO_TYPE = 96, 0
SEI = 6

# Seconds between 1900, where NTP begins, and 1970.
NTP_1970_S = 2_208_988_800


@lru_cache
def key_pictures(count: int = 50, size: tuple[int, int] = (64, 48)) -> list[list[bytes]]:
    """Return the NAL units of `count` different pictures, each a key picture with its parameter sets."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=1:repeat-headers=1"}
    pictures = []
    for number in range(count):
        pixels = np.full((size[1], size[0], 3), 50 + 4 * (number % 50), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
        frame.pts = number
        (packet,) = encoder.encode(frame)
        pictures.append(_nal_units(bytes(packet)))
    return pictures


def description(tracks: Sequence[str]) -> str:
    """Return the SDP of the tracks `image` and `audio`; their names are their control URLs."""
    sps, pps = key_pictures()[0][:2]
    sprop = ",".join(b64encode(unit).decode() for unit in (sps, pps))
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=camera", "t=0 0", "a=range:npt=now-"]
    if "image" in tracks:
        lines += [
            f"m=video 0 RTP/AVP {VIDEO_TYPE}",
            "c=IN IP4 0.0.0.0",
            f"a=rtpmap:{VIDEO_TYPE} H264/{VIDEO_HZ}",
            f"a=fmtp:{VIDEO_TYPE} packetization-mode=1;sprop-parameter-sets={sprop}",
            "a=control:image",
        ]
    if "audio" in tracks:
        lines += [
            f"m=audio 0 RTP/AVP {AUDIO_TYPE}",
            "c=IN IP4 0.0.0.0",
            f"a=rtpmap:{AUDIO_TYPE} PCMU/{AUDIO_HZ}",
            "a=control:audio",
        ]
    return "\r\n".join(lines) + "\r\n"


def picture_packets(number: int, sequence: int, timestamp: int, ssrc: int) -> list[bytes]:
    """Return the RTP packets of a key picture: one for each NAL unit."""
    pictures = key_pictures()
    units = pictures[number % len(pictures)]
    return [
        _rtp(VIDEO_TYPE, sequence + index, timestamp, ssrc, unit, is_last=index == len(units) - 1)
        for index, unit in enumerate(units)
    ]


def sound_packet(sequence: int, timestamp: int, ssrc: int, samples: int) -> bytes:
    """Return an RTP packet of quiet noise in mu-law."""
    noise = np.random.default_rng(sequence).integers(0x60, 0x80, samples, dtype=np.uint8)
    return _rtp(AUDIO_TYPE, sequence, timestamp, ssrc, noise.tobytes(), is_last=False)


def sender_report(ssrc: int, wall_s: float, timestamp: int) -> bytes:
    """Return an RTCP sender report: the camera's clock, as seconds since 1970, at an RTP timestamp."""
    ntp = round((wall_s + NTP_1970_S) * 2**32) & (2**64 - 1)
    return struct.pack(">BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, 0, 0)


def _rtp(kind: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, is_last: bool) -> bytes:
    marked = kind | (0x80 if is_last else 0)
    return struct.pack(">BBHII", 0x80, marked, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def _nal_units(annex_b: bytes) -> list[bytes]:
    units = annex_b.replace(NAL_START[1:], b"\0SPLIT").split(b"\0SPLIT")
    return [unit.rstrip(b"\0") for unit in units if unit.strip(b"\0") and unit[0] & 31 != SEI]

"""Turns the format of coded packets into a track of a file, without a decoder or an encoder.

FFmpeg takes the format of a track from another file. That file is made here: the header of a Matroska file, in memory.
"""

import io
import struct

import av
from av.container import InputContainer, OutputContainer

from daemon.core.media import MediaFormat, MediaPacket

# FFmpeg's names of codecs, and Matroska's
VIDEO_CODECS = {
    "h264": b"V_MPEG4/ISO/AVC",
    "hevc": b"V_MPEGH/ISO/HEVC",
    "mjpeg": b"V_MJPEG",
    "mpeg4": b"V_MPEG4/ISO/ASP",
}
AUDIO_CODECS = {"aac": b"A_AAC"}

# what AAC can have, and what an MP4 can say of pictures
MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 7_350, 96_000, 8
MAX_SIDE = 16_384

# Safari plays H.265 with this tag only, whose parameter sets are in the header of the file
TAGS = {"hevc": "hvc1"}

# the types of the units of H.264 and H.265 that are parameter sets
PARAMETER_SETS = {"h264": frozenset({7, 8}), "hevc": frozenset({32, 33, 34})}
START_CODE = b"\0\0\1"

# the ids of Matroska's elements
EBML, DOC_TYPE = b"\x1a\x45\xdf\xa3", b"\x42\x82"
SEGMENT, INFO, TIMESTAMP_SCALE = b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1"
TRACKS, TRACK_ENTRY, TRACK_NUMBER, TRACK_ID = b"\x16\x54\xae\x6b", b"\xae", b"\xd7", b"\x73\xc5"
TRACK_TYPE, CODEC_ID, CODEC_PRIVATE = b"\x83", b"\x86", b"\x63\xa2"
VIDEO, WIDTH, HEIGHT = b"\xe0", b"\xb0", b"\xba"
AUDIO, SAMPLE_RATE, CHANNELS = b"\xe1", b"\xb5", b"\x9f"
CLUSTER, TIMESTAMP = b"\x1f\x43\xb6\x75", b"\xe7"


def can_write(found: MediaFormat) -> bool:
    """Return whether packets of this format can be written into a clip."""
    if found.kind == "audio":
        is_possible = MIN_RATE_HZ <= found.sample_rate_hz <= MAX_RATE_HZ and 1 <= found.channels <= MAX_CHANNELS
        return found.codec in AUDIO_CODECS and is_possible
    return found.codec in VIDEO_CODECS and 1 <= found.width <= MAX_SIDE and 1 <= found.height <= MAX_SIDE


def add_track(output: OutputContainer, first: MediaPacket) -> "av.stream.Stream":
    """Add a track for packets of the format of `first`, its first packet. Raises av.FFmpegError, ValueError."""
    with open_template(first) as template:
        track: av.stream.Stream = output.add_stream_from_template(template.streams[0], opaque=True)
    if (tag := TAGS.get(first.format.codec)) is not None:
        track.codec_context.codec_tag = tag
    return track


def open_template(first: MediaPacket) -> InputContainer:
    """Open a file in memory that has one track, of the format of `first`, and no packets. Raises av.FFmpegError."""
    return av.open(io.BytesIO(_header(first.format, extradata_of(first))), "r", format="matroska")


def extradata_of(first: MediaPacket) -> bytes:
    """Return what a decoder needs beside the packets. A camera may send it within its first key packet only."""
    if first.format.extradata:
        return first.format.extradata
    wanted = PARAMETER_SETS.get(first.format.codec, frozenset())
    units = [unit for unit in _units(first.data) if _unit_type(unit, first.format.codec) in wanted] if wanted else []
    return b"".join(b"\0" + START_CODE + unit for unit in units)


def _units(data: bytes) -> list[bytes]:
    """Return the units of H.264 or H.265 that start codes separate."""
    return [unit.rstrip(b"\0") for unit in data.split(START_CODE)[1:] if unit.rstrip(b"\0")]


def _unit_type(unit: bytes, codec: str) -> int:
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def _header(found: MediaFormat, extradata: bytes) -> bytes:
    if found.kind == "video":
        number, codec = 1, VIDEO_CODECS[found.codec]
        details = _element(VIDEO, _number(WIDTH, found.width), _number(HEIGHT, found.height))
    else:
        number, codec = 2, AUDIO_CODECS[found.codec]
        rate = _element(SAMPLE_RATE, struct.pack(">d", found.sample_rate_hz))
        details = _element(AUDIO, rate, _number(CHANNELS, found.channels))
    entry = _element(
        TRACK_ENTRY,
        _number(TRACK_NUMBER, 1),
        _number(TRACK_ID, 1),
        _number(TRACK_TYPE, number),
        _element(CODEC_ID, codec),
        _element(CODEC_PRIVATE, extradata) if extradata else b"",
        details,
    )
    info = _element(INFO, _number(TIMESTAMP_SCALE, 1_000_000))
    # without a cluster FFmpeg takes the file for one that is cut off
    cluster = _element(CLUSTER, _number(TIMESTAMP, 0))
    return _element(EBML, _element(DOC_TYPE, b"matroska")) + _element(SEGMENT, info, _element(TRACKS, entry), cluster)


def _number(name: bytes, value: int) -> bytes:
    return _element(name, value.to_bytes(8, "big"))


def _element(name: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    # the highest bit of the length says that the length has 8 bytes
    return name + (len(joined) | 1 << 56).to_bytes(8, "big") + joined

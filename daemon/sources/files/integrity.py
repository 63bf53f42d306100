"""Judges whether a file is cut off, or holds a second recording that is not played."""

from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer

from daemon.core.timing import NS_PER_S

CUT_OFF = "the file is cut off: its last part is incomplete"
SECOND = "the file holds more than one recording, and not all of it is played: join them with `ffmpeg -f concat`"

# FFmpeg counts the length of a container in microseconds.
NS_PER_US = 1000

# How far the length in a header may be off.
TOLERANCE_NS = NS_PER_S

# A file with more parts is not judged. A fragment each second gives 170,000 parts a day.
MAX_PARTS = 1_000_000

# Boxes with which MP4 and its kin begin.
FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")

# The longest header of a Matroska element: four bytes of identity, and eight of length.
ELEMENT_HEADER = 12
EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675

# An FLV file begins with a header and a length of 0. A tag holds sound, a picture, or data on the recording.
FLV_HEADER, FLV_TAG_HEADER, FLV_LENGTH = 13, 11, 4
FLV_TAGS = (b"\x08", b"\x09", b"\x12")

RIFF_HEADER = 8

# The lengths of MPEG-TS packets: as broadcast, with a time before each (Blu-ray), with a checksum behind each.
# The second number is the place of the byte of synchronisation.
TS_PACKETS = ((188, 0), (192, 4), (204, 0))
TS_SYNC = 0x47

# This many packets in a row prove that the bytes between them belong to packets.
TS_PROOF = 4


def problem_at_end(path: Path) -> str | None:
    """Return what is wrong with where the file ends. None: nothing, or its format does not tell.

    MP4, Matroska, AVI, FLV and MPEG-TS tell whether they are cut off.
    Raises OSError when the file cannot be read.
    """
    if not path.is_file():
        return None
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, 2)
        start = _read(file, 0, 12)
        if start[4:8] in FIRST_BOXES:
            return _judge_boxes(file, size)
        if start[:4] == EBML.to_bytes(4, "big"):
            return _judge_elements(file, size)
        if start[:4] == b"RIFF" and start[8:] in (b"AVI ", b"WAVE"):
            return _judge_avi(file, size) if start[8:] == b"AVI " else _judge_wav(file)
        if start[:3] == b"FLV":
            return _judge_tags(file, size)
        return _judge_packets(file, size)


def problem_of_length(container: InputContainer, first_byte: int, end_ns: int) -> str | None:
    """Return what is wrong with the end of a FLAC or MP3 file. None: nothing, or another format.

    Its sound begins at byte `first_byte` and ends at `end_ns`.
    Their headers tell a length, and each packet has a duration. Without a header FFmpeg guesses the length.
    """
    if container.format.name not in ("flac", "mp3"):
        return None
    declared_ns = (container.duration or 0) * NS_PER_US
    if declared_ns - end_ns <= TOLERANCE_NS:
        return None
    bit_rate = container.streams.audio[0].codec_context.bit_rate
    if bit_rate and abs((container.size - first_byte) * 8 * NS_PER_S // bit_rate - declared_ns) <= TOLERANCE_NS:
        return None  # a guess of FFmpeg, by the bit rate at the beginning
    return f"the file is cut off: it ends at {end_ns / NS_PER_S:.1f} s of {declared_ns / NS_PER_S:.1f} s"


def _judge_boxes(file: BinaryIO, size: int) -> str | None:
    """Judge MP4 and its kin: boxes, each with its length and type."""
    at, indexes = 0, 0
    for _ in range(MAX_PARTS):
        if at == size:
            return None
        header = _read(file, at, 16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if not (kind.isascii() and kind.decode("ascii").isprintable()):
            return None  # something else was appended
        if 0 <= length < 8 <= len(header):
            return None  # a box of length 0 lasts until the end
        indexes += kind == b"moov"
        if indexes > 1:
            return SECOND
        at += length
        if at > size or len(header) < 8:
            return CUT_OFF
    return None


def _judge_elements(file: BinaryIO, size: int) -> str | None:
    """Judge Matroska: elements, each with its identity and length. A segment without length is entered."""
    at, segments, is_inside = 0, 0, False
    for _ in range(MAX_PARTS):
        if at == size:
            return None
        header = _read(file, at, ELEMENT_HEADER)
        kind, after_kind = _number(header, 0)
        length, after_length = _number(header, after_kind)
        if after_kind > 4 or after_length - after_kind > 8 or not (is_inside or kind in (EBML, SEGMENT)):
            return None  # something else was appended
        if after_length > len(header):
            return CUT_OFF
        segments += kind == SEGMENT
        if segments > 1:
            return SECOND
        at += after_length
        # the bits that say how long the length is are no part of it; the largest length means that none is known
        longest = (1 << 7 * (after_length - after_kind)) - 1
        if length & longest != longest:
            at += length & longest
        elif kind in (SEGMENT, CLUSTER):
            is_inside = True
        else:
            return None
        if at > size:
            return CUT_OFF
    return None


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at`, whose leading zero bits say how many bytes it has, and the place after it."""
    width = 9 - data[at].bit_length() if at < len(data) else 1
    return int.from_bytes(data[at : at + width], "big"), at + width


def _judge_avi(file: BinaryIO, size: int) -> str | None:
    """Judge AVI: one chunk, or several in a large file. FFmpeg plays joined files."""
    at = 0
    for _ in range(MAX_PARTS):
        header = _read(file, at, RIFF_HEADER)
        length = int.from_bytes(header[4:], "little")
        if header[:4] != b"RIFF" or length == 0:
            return None  # a recorder that was killed leaves 0
        at += RIFF_HEADER + length
        if at > size:
            return CUT_OFF
        at += length % 2
    return None


def _judge_wav(file: BinaryIO) -> str | None:
    """Judge WAV: one chunk. A cut does not show, because recorders that stream write any length."""
    length = int.from_bytes(_read(file, 4, 4), "little")
    following = _read(file, RIFF_HEADER + length + length % 2, 4)
    return SECOND if following == b"RIFF" else None


def _judge_tags(file: BinaryIO, size: int) -> str | None:
    """Judge FLV: tags, each with its type and length before it, and its length again behind it."""
    at = FLV_HEADER
    for _ in range(MAX_PARTS):
        if at == size:
            return None
        header = _read(file, at, FLV_TAG_HEADER)
        if header[:3] == b"FLV":
            return SECOND
        if header[:1] not in FLV_TAGS:
            return None  # something else was appended
        at += FLV_TAG_HEADER + int.from_bytes(header[1:4], "big") + FLV_LENGTH
        if at > size:
            return CUT_OFF
    return None


def _judge_packets(file: BinaryIO, size: int) -> str | None:
    """Judge MPEG-TS: packets of equal length. A part of a packet at the end is what is left of a whole one."""
    for length, sync in TS_PACKETS:
        if not _has_packets(_read(file, 0, TS_PROOF * length), length, sync):
            continue
        for rest in range(length):
            tail = _read(file, size - rest - TS_PROOF * length, TS_PROOF * length)
            if _has_packets(tail, length, sync):
                # after the last packet there is nothing, the beginning of a packet, or something else
                return CUT_OFF if _read(file, size - rest, length)[sync : sync + 1] == bytes([TS_SYNC]) else None
    return None


def _has_packets(data: bytes, length: int, sync: int) -> bool:
    return data[sync::length] == bytes([TS_SYNC] * TS_PROOF)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    """Return the bytes at `at`, fewer at the end of the file, none before its beginning."""
    if at < 0:
        return b""
    file.seek(at)
    return file.read(count)

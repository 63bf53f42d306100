"""Moments as bytes: written for the store, and checked before anything of them is used. Pure.

The bytes are the length of a header (4 bytes, little endian), the header as JSON, and float32 numbers. The header has
for each moment its time and the length of each vector by encoder, in the order of the numbers.

Packed bytes begin with MAGIC. The rest is deflated: length and header, and each vector as `packed` writes it. Of `home`
a moment has 9.4 kB of float32, and 0.9 kB packed.
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence

import numpy as np

from daemon.bundle.encoder_specs import NAME
from daemon.core.errors import TeachingError
from daemon.core.records import Array
from daemon.teaching.packed import SCALE_BYTES, deflate, inflate, levels, vector_of
from daemon.teaching.records import StoredMoment

MAX_MOMENTS = 64
MAX_ENCODERS = 16
MAX_VECTOR = 65_536
MAX_TIME_MS = 600_000
MAX_BYTES = 8 << 20
# Unpacked: as many numbers as MAX_BYTES of float32.
MAX_PACKED = MAX_BYTES // 4
MAX_FINGERPRINT = 128

# As a length of a header it is far above MAX_BYTES. So a version before 0.8, which does not know it, reads no moments.
MAGIC = b"pk1\xff"
# Of a fingerprint beside packed moments so many digits are kept, after MARK: there are many of them, and an index.
# A version before 0.8 takes these moments for those of other encoders. So it gathers anew, and they make room first.
MARK, DIGITS = "~", 16

_LENGTH = struct.Struct("<I")
_NUMBERS = np.dtype("<f4")


class BadBytes(ValueError):
    """Bytes are none that `to_bytes` has written; the message says why."""


def to_bytes(moments: Sequence[StoredMoment], *, is_packed: bool = False) -> bytes:
    """Return moments as bytes. Raises TeachingError for moments that cannot be stored."""
    with np.errstate(over="ignore"):  # a number that is too large becomes infinite, and is refused
        moments = [
            StoredMoment(each.time_ms, {name: vector.astype(_NUMBERS) for name, vector in each.vectors.items()})
            for each in moments
        ]
    if problem := _moments_problem(moments):
        raise TeachingError("invalid", f"the embeddings cannot be stored: {problem}")
    header = json.dumps([[each.time_ms, {name: len(row) for name, row in each.vectors.items()}] for each in moments])
    start = [_LENGTH.pack(len(header)), header.encode()]
    write = levels if is_packed else np.ndarray.tobytes
    found = b"".join(start + [write(vector) for each in moments for vector in each.vectors.values()])
    most = MAX_PACKED if is_packed else MAX_BYTES
    if len(found) > most:
        raise TeachingError("limit", f"the embeddings have {len(found)} bytes; at most {most} are stored")
    return MAGIC + deflate(found) if is_packed else found


def from_bytes(content: object) -> list[StoredMoment]:
    """Return the moments that were stored. Raises BadBytes where they cannot be."""
    if not isinstance(content, bytes) or not _LENGTH.size <= len(content) <= MAX_BYTES:
        raise BadBytes("it has no embeddings, or too many")
    if is_packed := content.startswith(MAGIC):
        content = _inflated(content[len(MAGIC) :])
    (length,) = _LENGTH.unpack_from(content)
    header = _header(content[_LENGTH.size : _LENGTH.size + length])
    rest = content[_LENGTH.size + length :]
    bytes_of = _packed_bytes if is_packed else _plain_bytes
    if len(rest) != sum(bytes_of(size) for _time_ms, lengths in header for size in lengths.values()):
        raise BadBytes("its embeddings are cut off")
    read = vector_of if is_packed else _numbers
    moments, at = [], 0
    for time_ms, lengths in header:
        vectors = {}
        for name, size in lengths.items():
            vectors[name] = read(rest[at : at + bytes_of(size)])
            at += bytes_of(size)
        moments.append(StoredMoment(time_ms, vectors))
    if problem := _moments_problem(moments):
        raise BadBytes(problem)
    return moments


def encoders_text(encoders: Mapping[str, str], moments: Sequence[StoredMoment], *, is_short: bool = False) -> str:
    """Return the fingerprints of the encoders that made these moments, as the store keeps them. Raises TeachingError.

    An encoder without a vector is left out: nothing changes for these moments when it changes.
    """
    made_by = {name: encoders.get(name, "") for moment in moments for name in moment.vectors}
    if problem := _encoders_problem(made_by):
        raise TeachingError("invalid", f"the encoders cannot be stored: {problem}")
    if is_short:
        made_by = {name: _short(fingerprint) for name, fingerprint in made_by.items()}
    return json.dumps(dict(sorted(made_by.items())))


def encoders_from(text: object) -> dict[str, str]:
    """Return the fingerprints of encoders that were stored. Raises BadBytes."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError) as error:
        raise BadBytes("its encoders are no JSON") from error
    if not isinstance(found, dict) or (problem := _encoders_problem(found)):
        raise BadBytes(f"its encoders are not known: {problem if isinstance(found, dict) else 'no names'}")
    return found


def usable(vectors: Mapping[str, Array], made_by: Mapping[str, str], encoders: Mapping[str, str]) -> dict[str, Array]:
    """Return the vectors whose encoders are among `encoders`, with the same fingerprints."""
    return {name: vector for name, vector in vectors.items() if _is_same(made_by.get(name), encoders.get(name, ""))}


def differ(made_by: Mapping[str, str], encoders: Mapping[str, str]) -> bool:
    """Whether an encoder has another fingerprint than when it made something, or none of them is there any more."""
    shared = made_by.keys() & encoders.keys()
    return not shared or not all(_is_same(made_by[name], encoders[name]) for name in shared)


def _is_same(first: str | None, second: str) -> bool:
    """Whether two fingerprints, which may be short, are the same."""
    if first is None or MARK not in (first[:1], second[:1]):
        return first == second
    return _short(first) == _short(second)


def _short(fingerprint: str) -> str:
    return fingerprint if fingerprint.startswith(MARK) else MARK + fingerprint[:DIGITS]


def _inflated(content: bytes) -> bytes:
    try:
        found = inflate(content, MAX_PACKED)
    except ValueError as error:
        raise BadBytes(f"its embeddings cannot be unpacked: {error}") from error
    if len(found) < _LENGTH.size:
        raise BadBytes("it has no embeddings")
    return found


def _plain_bytes(size: int) -> int:
    return size * _NUMBERS.itemsize


def _packed_bytes(size: int) -> int:
    return size + SCALE_BYTES


def _numbers(content: bytes) -> Array:
    return np.frombuffer(content, _NUMBERS).astype(np.float32)


def _header(content: bytes) -> list[tuple[int, dict[str, int]]]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadBytes("its embeddings have no header") from error
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_MOMENTS:
        raise BadBytes("it has no moments, or too many")
    header = []
    for entry in found:
        match entry:
            case [int(time_ms), dict(lengths)] if all(map(_is_length, lengths.values())):
                header.append((time_ms, lengths))
            case _:
                raise BadBytes("its embeddings have a wrong header")
    return header


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_VECTOR


def _encoders_problem(encoders: Mapping[str, str]) -> str | None:
    if not 1 <= len(encoders) <= MAX_ENCODERS:
        return f"there are {len(encoders)} names, expected 1 to {MAX_ENCODERS}"
    for name, fingerprint in encoders.items():
        if re.fullmatch(NAME, name) is None:
            return "a name is none of an encoder"
        if not isinstance(fingerprint, str) or not 1 <= len(fingerprint) <= MAX_FINGERPRINT:
            return f"{name} has no fingerprint"
    return None


def _moments_problem(moments: Sequence[StoredMoment]) -> str | None:
    if not 1 <= len(moments) <= MAX_MOMENTS:
        return f"there are {len(moments)} moments, expected 1 to {MAX_MOMENTS}"
    before = 0
    for moment in moments:
        if not before <= moment.time_ms <= MAX_TIME_MS:
            return f"a moment is at {moment.time_ms} ms, expected {before} to {MAX_TIME_MS}"
        before = moment.time_ms
        if not 1 <= len(moment.vectors) <= MAX_ENCODERS:
            return f"a moment has {len(moment.vectors)} embeddings, expected 1 to {MAX_ENCODERS}"
        for name, vector in moment.vectors.items():
            if re.fullmatch(NAME, name) is None:
                return "a name is none of an encoder"
            if vector.ndim != 1 or not 1 <= len(vector) <= MAX_VECTOR:
                return f"{name} has the shape {vector.shape}, expected 1 to {MAX_VECTOR} numbers"
            if not np.isfinite(vector).all():
                return f"{name} has a number that is not finite (NaN or infinite)"
    return None

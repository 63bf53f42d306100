"""Moments as bytes: written for the store, and checked before anything of them is used. Pure.

The bytes are the length of a header (4 bytes, little endian), the header as JSON, and float32 numbers. The header has
for each moment its time and the length of each vector by encoder, in the order of the numbers.
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence

import numpy as np

from daemon.bundle.encoder_specs import NAME
from daemon.core.errors import TeachingError
from daemon.core.records import Array
from daemon.teaching.records import StoredMoment

MAX_MOMENTS = 64
MAX_ENCODERS = 16
MAX_VECTOR = 65_536
MAX_TIME_MS = 600_000
MAX_BYTES = 8 << 20
MAX_FINGERPRINT = 128

_LENGTH = struct.Struct("<I")
_NUMBERS = np.dtype("<f4")


class BadBytes(ValueError):
    """Bytes are none that `to_bytes` has written; the message says why."""


def to_bytes(moments: Sequence[StoredMoment]) -> bytes:
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
    found = b"".join(start + [vector.tobytes() for each in moments for vector in each.vectors.values()])
    if len(found) > MAX_BYTES:
        raise TeachingError("limit", f"the embeddings have {len(found)} bytes; at most {MAX_BYTES} are stored")
    return found


def from_bytes(content: object) -> list[StoredMoment]:
    """Return the moments that were stored. Raises BadBytes where they cannot be."""
    if not isinstance(content, bytes) or not _LENGTH.size <= len(content) <= MAX_BYTES:
        raise BadBytes("it has no embeddings, or too many")
    (length,) = _LENGTH.unpack_from(content)
    header = _header(content[_LENGTH.size : _LENGTH.size + length])
    rest = content[_LENGTH.size + length :]
    if len(rest) != _NUMBERS.itemsize * sum(sum(lengths.values()) for _time_ms, lengths in header):
        raise BadBytes("its embeddings are cut off")
    numbers = np.frombuffer(rest, _NUMBERS).astype(np.float32)
    moments, at = [], 0
    for time_ms, lengths in header:
        vectors = {}
        for name, size in lengths.items():
            vectors[name] = numbers[at : at + size]
            at += size
        moments.append(StoredMoment(time_ms, vectors))
    if problem := _moments_problem(moments):
        raise BadBytes(problem)
    return moments


def encoders_text(encoders: Mapping[str, str], moments: Sequence[StoredMoment]) -> str:
    """Return the fingerprints of the encoders that made these moments, as the store keeps them. Raises TeachingError.

    An encoder without a vector is left out: nothing changes for these moments when it changes.
    """
    made_by = {name: encoders.get(name, "") for moment in moments for name in moment.vectors}
    if problem := _encoders_problem(made_by):
        raise TeachingError("invalid", f"the encoders cannot be stored: {problem}")
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
    return {name: vector for name, vector in vectors.items() if made_by.get(name) == encoders.get(name, "")}


def differ(made_by: Mapping[str, str], encoders: Mapping[str, str]) -> bool:
    """Whether an encoder has another fingerprint than when it made something, or none of them is there any more."""
    shared = made_by.keys() & encoders.keys()
    return not shared or any(made_by[name] != encoders[name] for name in shared)


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

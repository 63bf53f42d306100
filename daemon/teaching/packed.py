"""Embeddings as few bytes: each number is one of 64 levels, and all bytes are deflated. Pure.

Levels are even, and one of them is 0. The encoders of most bundles give one of 256 values themselves, many of them 0.
"""

import struct
import zlib

import numpy as np

from daemon.core.records import Array

LEVELS = 63
DEFLATE_LEVEL = 9
WINDOW_BITS = -15  # without zlib's own header and checksum

# the step between two levels, and the level that is 0
_SCALE = struct.Struct("<fB")
SCALE_BYTES = _SCALE.size


def levels(vector: Array) -> bytes:
    """Return a finite vector (n,) as SCALE_BYTES + n bytes. Each number is at most half a step away from its own."""
    numbers = vector.astype(np.float64)
    lowest, highest = min(0.0, float(numbers.min())), max(0.0, float(numbers.max()))
    step = float(np.float32((highest - lowest) / LEVELS)) or 1.0  # all zeros, or as good as that
    zero = round(-lowest / step)
    found = np.clip(np.round(numbers / step) + zero, 0, LEVELS).astype(np.uint8)
    return _SCALE.pack(step, zero) + found.tobytes()


def vector_of(content: bytes) -> Array:
    """Return the float32 vector of what `levels` has made. Hostile bytes give numbers that are not finite."""
    step, zero = _SCALE.unpack_from(content)
    found = np.frombuffer(content, np.uint8, offset=SCALE_BYTES).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray((found - zero) * np.float32(step), np.float32)


def deflate(content: bytes) -> bytes:
    """Return bytes in fewer bytes."""
    packer = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, WINDOW_BITS)
    return packer.compress(content) + packer.flush()


def inflate(content: bytes, most: int) -> bytes:
    """Return what `deflate` was given. Raises ValueError for anything else, and for more than `most` bytes."""
    unpacker = zlib.decompressobj(WINDOW_BITS)
    try:
        found = unpacker.decompress(content, most)
    except zlib.error as error:
        raise ValueError("the bytes are damaged") from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the bytes are cut off, or too many")
    return found

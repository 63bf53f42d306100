"""Packed embeddings: what is read is what was written, nearly; hostile bytes are refused, in little memory."""

import json
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from daemon.core.errors import TeachingError
from daemon.core.records import Array
from daemon.teaching.blobs import (
    MAGIC,
    MAX_PACKED,
    BadBytes,
    differ,
    encoders_from,
    encoders_text,
    from_bytes,
    to_bytes,
)
from daemon.teaching.packed import LEVELS, SCALE_BYTES, deflate, levels
from daemon.teaching.records import StoredMoment

RNG = np.random.default_rng(7)
FINGERPRINT, OTHER = "15f877a68fc4ddf2" + "a" * 48, "15f877a68fc4ddf3" + "a" * 48
GOOD = levels(np.array([0.0, 1.0, -1.0], np.float32))


def packed(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return MAGIC + deflate(struct.pack("<I", len(text)) + text + body)


@pytest.mark.parametrize(
    "vector",
    [
        RNG.normal(0, 1, 1000),
        np.maximum(0, RNG.normal(-1, 1, 1000)),  # mostly zeros
        -RNG.random(50),
        np.zeros(5),
        np.full(3, 7.5),
        np.array([1e30, 0.0, -1e30]),
        np.array([1e-42, 0.0]),
        np.array([3.0]),
    ],
    ids=["both signs", "mostly zeros", "negative", "zeros", "constant", "large", "smallest", "one"],
)
def test_a_number_moves_by_half_a_step_at_most_and_zero_stays_zero(vector: Array) -> None:
    vector = vector.astype(np.float32)
    (found,) = from_bytes(to_bytes([StoredMoment(0, {"ear": vector})], is_packed=True))
    step = (max(0.0, float(vector.max())) - min(0.0, float(vector.min()))) / LEVELS
    assert found.vectors["ear"].dtype == np.float32
    assert found.vectors["ear"] == pytest.approx(vector, abs=max(1e-40, 1.01 * step))
    assert (found.vectors["ear"][vector == 0] == 0).all()


def test_several_moments_keep_their_times_and_encoders_and_are_small() -> None:
    quiet = np.where(RNG.random(2000) < 0.9, 0, RNG.random(2000)).astype(np.float32)
    moments = [StoredMoment(at, {"ear": quiet, "eye": np.roll(quiet, at)}) for at in (0, 480)]
    content = to_bytes(moments, is_packed=True)
    assert len(content) < len(to_bytes(moments)) / 8
    found = from_bytes(content)
    assert [(each.time_ms, list(each.vectors)) for each in found] == [(0, ["ear", "eye"]), (480, ["ear", "eye"])]
    again = from_bytes(to_bytes(found, is_packed=True))
    for first, second in zip(found, again, strict=True):
        assert second.vectors["eye"] == pytest.approx(first.vectors["eye"], abs=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        MAGIC,
        MAGIC + b"\xff" * 20,
        MAGIC + deflate(b""),
        MAGIC + deflate(b"\x01\x02"),
        packed([[0, {"ear": 3}]], GOOD)[:-1],
        packed([[0, {"ear": 3}]], GOOD) + b"x",
        packed([[0, {"ear": 3}]], GOOD[:-1]),
        packed([[0, {"ear": 2}]], GOOD),
        packed([[0, {"ear": 0}]], GOOD[:SCALE_BYTES]),
        packed([[0, {"ear": -5}]], b""),
        packed([[0, {"ear": 2.5}]], GOOD),
        packed([[0, {"ear": 70_000}]], b"\0" * 70_005),
        packed([[-1, {"ear": 3}]], GOOD),
        packed([[0, {"Ear!": 3}]], GOOD),
        packed([], b""),
        packed({"ear": 3}, GOOD),
        packed([[0, {"ear": 3}]], struct.pack("<fB", np.nan, 0) + b"\1\2\3"),
        packed([[0, {"ear": 3}]], struct.pack("<fB", np.inf, 0) + b"\0\1\2"),
        packed([[0, {"ear": 3}]], struct.pack("<fB", 3e38, 0) + b"\0\1\2"),
    ],
)
def test_hostile_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(BadBytes):
        from_bytes(content)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = MAGIC + deflate(bytes(64 << 20))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(BadBytes, match="cut off, or too many"):
        from_bytes(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_PACKED


def test_an_earlier_version_takes_no_packed_bytes_for_float32() -> None:
    (length,) = struct.unpack("<I", MAGIC)
    assert length > 8 << 20
    with pytest.raises(zlib.error):
        zlib.decompress(to_bytes([StoredMoment(0, {"ear": np.ones(3, np.float32)})], is_packed=True))


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(TeachingError, match="not finite"):
        to_bytes([StoredMoment(0, {"ear": np.array([np.nan], np.float32)})], is_packed=True)
    with pytest.raises(TeachingError, match=f"at most {MAX_PACKED}"):
        to_bytes([StoredMoment(0, {"ear": np.ones(65_536, np.float32)})] * 33, is_packed=True)


@pytest.mark.parametrize(
    ("stored", "now", "expected"),
    [(FINGERPRINT, FINGERPRINT, False), (FINGERPRINT, OTHER, True), (OTHER, FINGERPRINT, True)],
)
def test_a_short_fingerprint_is_that_of_the_same_encoder(stored: str, now: str, expected: bool) -> None:
    moments = [StoredMoment(0, {"ear": np.ones(3, np.float32)})]
    short = encoders_from(encoders_text({"ear": stored}, moments, is_short=True))
    assert differ(short, {"ear": now}) is expected
    assert differ({"ear": now}, short) is expected
    assert short["ear"] != stored, "an earlier version takes it for another encoder"
    assert encoders_from(encoders_text(short, moments, is_short=True)) == short

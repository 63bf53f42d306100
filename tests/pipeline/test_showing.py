"""A window of raw input gives the moments that live recognition would have had, with a picture and the sound."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.core.errors import InputError, ModelError
from daemon.core.records import Block, Captured, Counters, Embedding, Frame, Line
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.recent import RecentInput, Window
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.showing import MAX_MOMENTS, encode_window, moments_of, showing_of
from tests.helpers.format2_bundle import RATE_HZ, manifest, noise, picture, write_bundle
from tests.helpers.mosquitto import wait_until

START_NS = 1000 * NS_PER_S
BLOCK = 160


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    return load_recogniser(load_bundle(write_bundle(tmp_path_factory.mktemp("bundle") / "corner")))


@pytest.fixture
def pool(corner: Recogniser) -> Iterator[EncoderPool]:
    pool = EncoderPool(corner.parallel_encoders, corner.bundle.manifest.encoder_modalities)
    pool.start()
    yield pool
    pool.close(5)


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS_PER_S)


def frame(at_s: float, left: int = 200, right: int = 0) -> Frame:
    return Frame((picture(left=left, right=right),), at(at_s))


def sound(seconds: float) -> list[Captured]:
    samples = noise(seconds)
    return [
        Block(samples[begin : begin + BLOCK], RATE_HZ, START_NS + begin * NS_PER_S // RATE_HZ)
        for begin in range(0, len(samples), BLOCK)
    ]


def window(items: list[Captured], recogniser: Recogniser, start_s: float, end_s: float) -> Window:
    ring = RecentInput(recogniser.bundle.manifest)
    for item in sorted(items, key=lambda item: item.end_ns if isinstance(item, Block) else item.captured_ns):
        ring.add(item)
    return ring.window(at(start_s), at(end_s))


def with_encoders(directory: Path, recogniser: Recogniser, **encoders: Any) -> Recogniser:
    """The same models with another manifest, whose head is not used."""
    content = manifest()["encoders"] | encoders
    bundle = load_bundle(write_bundle(directory, encoders=content))
    return replace(recogniser, bundle=bundle)


def test_a_moment_has_the_vectors_that_the_encoders_give_live(corner: Recogniser) -> None:
    items = [*sound(3), frame(0.9, 255, 0), frame(1.4, 0, 255), frame(1.9, 90, 30), frame(2.4)]
    moments = moments_of(window(items, corner, 1.0, 2.5), corner)
    times_ms = [moment.time_ms for moment in moments]
    # a moment for each patch, of which there are 20 a second; a picture may come a little after the patch
    assert len(moments) == 30
    assert times_ms == sorted(times_ms)
    for moment in moments:
        latest = max(
            (each for each in items if isinstance(each, Frame) and each.captured_ns <= at(1) + moment.time_ms * 10**6),
            key=lambda each: each.captured_ns,
        )
        for name in ("scene", "people"):
            if name in moment.vectors:
                assert (moment.vectors[name] == corner.encoders[name].encode(latest).vector).all()
        # scene's embedding counts for 500 ms, people's for 1500 ms
        age_ms = moment.time_ms - (latest.captured_ns - at(1)) // NS_PER_MS
        assert ("scene" in moment.vectors) == (age_ms <= 500)
        assert {"people", "sound"} < moment.vectors.keys()


def test_the_shared_encoders_give_the_same_as_encoders_of_their_own(corner: Recogniser, pool: EncoderPool) -> None:
    shown = window([*sound(3), *(frame(index / 2, index * 20) for index in range(6))], corner, 1.0, 2.9)
    alone, shared = showing_of(shown, corner), encode_window(shown, corner, pool, "door/teaching", 20)
    assert [moment.time_ms for moment in alone.moments] == [moment.time_ms for moment in shared.moments]
    for one, other in zip(alone.moments, shared.moments, strict=True):
        assert one.vectors.keys() == other.vectors.keys()
        assert all((one.vectors[name] == other.vectors[name]).all() for name in one.vectors)
    assert 1 < len(shared.moments) <= MAX_MOMENTS < len(moments_of(shown, corner))


def test_picture_and_sound_are_those_of_the_press(corner: Recogniser) -> None:
    items = [*sound(6), *(frame(index / 2, 20 * index, 0) for index in range(12))]
    shown = showing_of(window(items, corner, 1.0, 5.0), corner)
    # the window ends a second after the press
    assert shown.picture is not None
    assert shown.picture[0, 0].tolist() == [20 * 8] * 3
    assert len(shown.frames) == 9
    assert shown.sound is not None
    assert shown.rate_hz == RATE_HZ
    assert (shown.sound == noise(6)[RATE_HZ : 5 * RATE_HZ]).all()


def test_without_a_sense_its_part_is_empty(corner: Recogniser) -> None:
    seen = showing_of(window([frame(1), frame(1.5)], corner, 1.0, 2.0), corner)
    assert (seen.sound, seen.rate_hz) == (None, None)
    assert [set(moment.vectors) for moment in seen.moments] == [{"scene", "people"}] * 2
    heard = showing_of(window(sound(2), corner, 1.0, 2.0), corner)
    assert (heard.picture, heard.frames) == (None, [])
    assert showing_of(window([], corner, 1.0, 2.0), corner).moments == []


def test_a_slow_encoder_gets_a_picture_of_the_window(tmp_path: Path, corner: Recogniser) -> None:
    people = manifest()["encoders"]["people"] | {"rate_hz": 0.25, "max_age_ms": 9000}
    slow = with_encoders(tmp_path / "slow", corner, people=people)
    items: list[Captured] = [frame(index / 2, 10 * index, 0) for index in range(20)]
    moments = moments_of(window(items, slow, 5.0, 9.0), slow)
    encoded = [moment.vectors["people"].tolist() for moment in moments]
    assert len({tuple(each) for each in encoded}) == 2, "one of 5.0 s, and one of 9.0 s"
    assert encoded[0] == corner.encoders["people"].encode(frame(5, 100, 0)).vector.tolist()


def test_statistics_of_a_pooled_encoder_reach_back_before_the_window(tmp_path: Path, corner: Recogniser) -> None:
    people = manifest()["encoders"]["people"] | {"pool": {"seconds": 2, "of": ["max"]}}
    pooled = with_encoders(tmp_path / "pooled", corner, people=people)
    items: list[Captured] = [frame(index / 2, 255 if index == 8 else 0, 0) for index in range(20)]
    moments = moments_of(window(items, pooled, 5.0, 7.0), pooled)
    peak = float(corner.encoders["people"].encode(frame(4, 255, 0)).vector[0])
    # the bright picture of 4.0 s counts until 6.0 s
    assert [moment.vectors["people"][2] == peak for moment in moments] == [True, True, False, False, False]
    assert all(moment.vectors["people"].shape == (4,) for moment in moments)


class Texts:
    """Implements `Encoder`: the length of the line. A line `nan` gives NaN, and `bad` cannot be encoded."""

    name = "words"

    def encode(self, item: Line) -> Embedding:
        if item.text == "bad":
            raise InputError("bad")
        number = np.nan if item.text == "nan" else len(item.text)
        return Embedding("words", np.array([number], np.float32), item.captured_ns, item.captured_ns)


WORDS = {
    "modality": "text",
    "model": "sound.tflite",
    "input": {"shape": [1, 20], "dtype": "int32"},
    "outputs": {"length": {"shape": [1, 1], "dtype": "float32"}},
    "max_age_ms": 1000,
}


def test_lines_make_moments_and_an_embedding_that_fails_or_is_no_number_makes_none(
    tmp_path: Path, corner: Recogniser
) -> None:
    words = with_encoders(tmp_path / "words", replace(corner, encoders={"words": Texts()}), words=WORDS)
    lines = [("before", 0.5), ("first", 1.2), ("nan", 1.3), ("bad", 1.4), ("second one", 1.9), ("late", 2.5)]
    items: list[Captured] = [Line(text, at(at_s)) for text, at_s in lines]
    moments = moments_of(window([*items, frame(1.5)], words, 1.0, 2.0), words)
    assert [(moment.time_ms, moment.vectors["words"].tolist()) for moment in moments] == [(200, [5.0]), (900, [10.0])]


class Held:
    """Implements `Encoder`: waits until it is released, and notes what it encodes."""

    name = "words"

    def __init__(self) -> None:
        self.release = threading.Event()
        self.begun: list[str] = []

    def encode(self, item: Line) -> Embedding:
        self.begun.append(item.text)
        self.release.wait(60)
        return Embedding("words", np.ones(1, np.float32), item.captured_ns, item.captured_ns)


def test_live_input_waits_for_one_input_of_a_window_at_most(tmp_path: Path, corner: Recogniser) -> None:
    held = Held()
    words = with_encoders(tmp_path / "words", replace(corner, encoders={"words": held}), words=WORDS)
    pool = EncoderPool({"words": [held]}, {"words": "text"})
    pool.start()
    shown = window([Line(f"shown {index}", at(1 + index / 10)) for index in range(5)], words, 1.0, 2.0)
    encoding = threading.Thread(target=encode_window, args=(shown, words, pool, "door/teaching", 20))
    encoding.start()
    wait_until(lambda: held.begun == ["shown 0"], "the first line is being encoded")
    done = threading.Event()
    counters = Counters()
    for text in ("live 0", "live 1"):
        pool.offer("door", "words", Line(text, monotonic_ns()), lambda embedding: done.set(), counters)
    held.release.set()
    assert done.wait(60)
    encoding.join(60)
    pool.close(5)
    assert held.begun.index("live 0") == 1
    assert held.begun.index("live 1") <= 4
    assert (counters.dropped, counters.encoded) == ({}, 2)


class Failing:
    """Implements Encoder: fails on one line, and gives NaN for another."""

    name = "words"

    def encode(self, line: Line) -> Embedding:
        if line.text == "fails":
            raise ModelError("it fails")
        vector = np.full(1, np.nan if line.text == "nan" else 1.0, np.float32)
        return Embedding("words", vector, line.captured_ns, line.captured_ns)


def test_what_an_encoder_makes_nothing_of_is_counted(tmp_path: Path, corner: Recogniser) -> None:
    failing = Failing()
    words = with_encoders(tmp_path / "words", replace(corner, encoders={"words": failing}), words=WORDS)
    pool = EncoderPool({"words": [failing]}, {"words": "text"})
    pool.start()
    texts = ["fails", "good", "nan", "fails"]
    shown = window([Line(text, at(1.1 + index / 10)) for index, text in enumerate(texts)], words, 1.0, 2.0)
    showing = encode_window(shown, words, pool, "door/teaching", 20)
    pool.close(5)
    assert (showing.failed, len(showing.moments)) == (3, 1)


def test_an_encoder_that_hangs_holds_up_neither_the_window_nor_memory(tmp_path: Path, corner: Recogniser) -> None:
    held = Held()
    words = with_encoders(tmp_path / "words", replace(corner, encoders={"words": held}), words=WORDS)
    pool = EncoderPool({"words": [held]}, {"words": "text"})
    pool.start()
    for index in range(40):
        shown = window([Line(f"try {index}", at(1.5))], words, 1.0, 2.0)
        with pytest.raises(InputError, match="have not finished in time"):
            encode_window(shown, words, pool, "door/teaching", 0)
    held.release.set()
    pool.close(5)
    assert len(held.begun) <= 1 + 16, "as many as lines of one stream may wait"

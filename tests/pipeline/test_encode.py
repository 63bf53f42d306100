"""The encoder pool: encoders that hang or fail, overload, and several encoders of a modality."""

import threading
import weakref

import numpy as np
import pytest

from daemon.core.records import MODALITIES, Counters, Embedding, Modality
from daemon.pipeline.encode import CAPACITY, EncoderPool
from tests.helpers.mosquitto import wait_until
from tests.pipeline.test_ordered import SENSES


class StuckEncoder:
    """Implements `Encoder`: blocks until it is released, then raises an unexpected error."""

    def __init__(self, modality: Modality, release: threading.Event) -> None:
        self.name = modality
        self.started = threading.Event()
        self._release = release

    def encode(self, item: object) -> Embedding:
        self.started.set()
        self._release.wait(60)
        raise RuntimeError("odd")


def test_stuck_encoders_are_left_behind_and_failures_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, done = threading.Event(), []
    stuck = {modality: StuckEncoder(modality, release) for modality in MODALITIES}
    counters = {modality: Counters() for modality in MODALITIES}
    encoders = EncoderPool({modality: [encoder] for modality, encoder in stuck.items()}, SENSES)
    encoders.start()
    for modality in MODALITIES:
        encoders.offer("s", modality, "item", done.append, counters[modality])
        assert stuck[modality].started.wait(60)
    encoders.close(0.3)
    assert caplog.text.count("left behind") == 3
    release.set()
    wait_until(lambda: len(done) == 3, "all are done")
    assert [counters[modality].dropped for modality in MODALITIES] == [{"encoder_failed": 1}] * 3


def test_of_several_encoders_only_the_one_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    release, done = threading.Event(), []
    stuck, quick = StuckEncoder("image", release), GatedEncoder(threading.Semaphore(1))
    pool = EncoderPool({"people": [stuck], "scene": [quick]}, {"people": "image", "scene": "image"})
    pool.start()
    pool.offer("s", "people", "item", done.append, Counters())
    assert stuck.started.wait(60)
    pool.close(0.3)
    release.set()
    (line,) = caplog.messages
    assert line.startswith("the encoder people did not finish within 0.3 s")


class GatedEncoder:
    """Implements `Encoder`: encodes one picture for each release of a semaphore; `got` counts the pictures."""

    name = "image"

    def __init__(self, gate: threading.Semaphore) -> None:
        self.got = 0
        self._gate = gate

    def encode(self, item: int) -> Embedding:
        self.got += 1
        assert self._gate.acquire(timeout=60)
        return Embedding("image", np.zeros(1, np.float32), item, item)


@pytest.mark.parametrize("count", [1, 3])
def test_at_overload_each_stream_gets_an_equal_part_and_counts_its_drops(count: int) -> None:
    """While one picture is encoded, four streams deliver two. A fifth stream delivers one in ten of these rounds."""
    gate = threading.Semaphore(0)
    encoders = EncoderPool({"image": [GatedEncoder(gate) for _ in range(count)]}, SENSES)
    encoders.start()
    counters = {name: Counters() for name in ("a", "b", "c", "d", "seldom")}
    done: dict[str, list[Embedding | None]] = {name: [] for name in counters}
    for number in range(200):
        for name in ("a", "a", "b", "b", "c", "c", "d", "d") + ("seldom",) * (number % 10 == 0):
            encoders.offer(name, "image", number, done[name].append, counters[name])
            counters[name].captured += 1
        gate.release()
        wait_until(lambda number=number: sum(found.encoded for found in counters.values()) > number, "one is encoded")
    gate.release(100)
    encoders.close(10)
    parts = [counters[name].encoded for name in "abcd"]
    assert max(parts) - min(parts) <= count + 1
    assert (counters["seldom"].encoded, counters["seldom"].dropped) == (20, {})
    for name, found in counters.items():
        assert found.encoded == sum(embedding is not None for embedding in done[name])
        assert found.captured == len(done[name]) == found.encoded + found.dropped.get("busy", 0)
        newest = [embedding.end_ns for embedding in done[name] if embedding is not None]
        assert newest == sorted(newest) or count > 1


def test_a_bundle_with_fewer_encoders_leaves_threads_idle_and_one_with_more_gets_them() -> None:
    gate = threading.Semaphore(0)
    groups = [[GatedEncoder(gate) for _ in range(count)] for count in (2, 1, 3)]
    counters, done = Counters(), []
    encoders = EncoderPool({"image": groups[0]}, SENSES)
    encoders.start()
    for group in groups:
        encoders = encoders.followed_by({"image": group}, SENSES)
        for number in range(20):
            encoders.queue(str(number % 5), "image", number, done.append, counters)
        assert len(encoders.progress) == max(2, len(group))
        gate.release(20 - len(group))
        wait_until(lambda group=group: sum(encoder.got for encoder in group) == 20, "all are at work or done")
        assert all(encoder.got for encoder in group)
        gate.release(len(group))
        wait_until(lambda group=group: all(embedding for embedding in done) and len(done) % 20 == 0, "all are done")
    encoders.close(10)
    assert (counters.encoded, counters.dropped, len(done)) == (60, {}, 60)


def test_encoders_of_another_name_or_modality_get_threads_of_their_own() -> None:
    gate, done, counters = threading.Semaphore(100), [], Counters()
    encoders = EncoderPool({"one": [GatedEncoder(gate)]}, {"one": "image"})
    encoders.start()
    for name, modality in (("two", "image"), ("two", "audio"), ("one", "image")):
        encoders = encoders.followed_by({name: [GatedEncoder(gate)]}, {name: modality})
        encoders.queue("s", name, 1, done.append, counters)
        assert encoders.room(name) == 1 + CAPACITY[modality]
    encoders.close(10)
    assert counters.encoded == 3
    assert [heartbeat.loop for heartbeat in encoders.progress] == ["encode-one", "encode-two", "encode-two"]


def test_an_idle_thread_keeps_nothing_of_the_bundle_that_it_worked_for() -> None:
    encoder, done = GatedEncoder(threading.Semaphore(1)), []
    reference = weakref.ref(encoder)
    pool = EncoderPool({"scene": [encoder]}, {"scene": "image"})
    pool.start()
    pool.offer("s", "scene", 1, done.append, Counters())
    wait_until(lambda: done, "it has encoded")
    pool = pool.followed_by({"image": [GatedEncoder(threading.Semaphore(0))]}, {"image": "image"})
    del encoder
    wait_until(lambda: reference() is None, "the encoder is freed")
    pool.close(1)


def test_the_next_bundle_waits_for_an_encoder_of_the_previous_one() -> None:
    gate = threading.Semaphore(0)
    before, after = [GatedEncoder(gate)], [GatedEncoder(gate) for _ in range(3)]
    counters, done = Counters(), []
    encoders = EncoderPool({"image": before}, SENSES)
    encoders.start()
    for group in (before, after):
        encoders = encoders.followed_by({"image": group}, SENSES)
        for number in range(4):
            encoders.queue("s", "image", number, done.append, counters)
    wait_until(lambda: before[0].got == 1, "the first is at work")
    gate.release(8)
    encoders.close(10)
    assert (before[0].got, sum(encoder.got for encoder in after)) == (4, 4)
    assert (counters.encoded, len(done)) == (8, 8)

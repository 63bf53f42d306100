"""Encoders that hang or fail, that have too much to do, and several alike."""

import threading

import numpy as np
import pytest

from daemon.core.records import MODALITIES, Counters, Embedding, Modality
from daemon.pipeline.encode import EncoderPool
from tests.helpers.mosquitto import wait_until


class StuckEncoder:
    """Implements `Encoder`: does not come back until it is let go, then fails as nobody foresaw."""

    def __init__(self, modality: Modality, let_go: threading.Event) -> None:
        self.modality = modality
        self.entered = threading.Event()
        self._let_go = let_go

    def encode(self, item: object) -> Embedding:
        self.entered.set()
        self._let_go.wait(30)
        raise RuntimeError("odd")


def test_stuck_encoders_are_left_behind_and_failures_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go, done = threading.Event(), []
    stuck = {modality: StuckEncoder(modality, let_go) for modality in MODALITIES}
    counters = {modality: Counters() for modality in MODALITIES}
    encoders = EncoderPool({modality: [encoder] for modality, encoder in stuck.items()})
    encoders.start()
    for modality in MODALITIES:
        encoders.offer("s", modality, "item", done.append, counters[modality])
        assert stuck[modality].entered.wait(10)
    encoders.close(0.3)
    assert caplog.text.count("left behind") == 3
    let_go.set()
    wait_until(lambda: len(done) == 3, "all are done with")
    assert [counters[modality].dropped for modality in MODALITIES] == [{"encoder_failed": 1}] * 3


class GatedEncoder:
    """Implements `Encoder`: encodes a picture whenever it is let through; knows how many it has got."""

    modality: Modality = "image"

    def __init__(self, gate: threading.Semaphore) -> None:
        self.got = 0
        self._gate = gate

    def encode(self, item: int) -> Embedding:
        self.got += 1
        assert self._gate.acquire(timeout=10)
        return Embedding("image", np.zeros(1, np.float32), item, item)


@pytest.mark.parametrize("count", [1, 3])
def test_at_overload_each_stream_keeps_its_share_and_counts_its_own_drops(count: int) -> None:
    """Four streams deliver two pictures while one is encoded, a fifth one in every ten of them."""
    gate = threading.Semaphore(0)
    encoders = EncoderPool({"image": [GatedEncoder(gate) for _ in range(count)]})
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
    shares = [counters[name].encoded for name in "abcd"]
    assert max(shares) - min(shares) <= count + 1
    assert (counters["seldom"].encoded, counters["seldom"].dropped) == (20, {})
    for name, found in counters.items():
        assert found.encoded == sum(embedding is not None for embedding in done[name])
        assert found.captured == len(done[name]) == found.encoded + found.dropped.get("busy", 0)
        newest = [embedding.end_ns for embedding in done[name] if embedding is not None]
        assert newest == sorted(newest) or count > 1


def test_a_bundle_with_fewer_encoders_leaves_threads_idle_and_one_with_more_gets_them() -> None:
    gate = threading.Semaphore(0)
    crews = [[GatedEncoder(gate) for _ in range(count)] for count in (2, 1, 3)]
    counters, done = Counters(), []
    encoders = EncoderPool({"image": crews[0]})
    encoders.start()
    for crew in crews:
        encoders = encoders.followed_by({"image": crew})
        for number in range(20):
            encoders.queue(str(number % 5), "image", number, done.append, counters)
        assert len(encoders.progress) == max(2, len(crew))
        gate.release(20 - len(crew))
        wait_until(lambda crew=crew: sum(encoder.got for encoder in crew) == 20, "all are at work or done")
        assert all(encoder.got for encoder in crew)
        gate.release(len(crew))
        wait_until(lambda crew=crew: all(embedding for embedding in done) and len(done) % 20 == 0, "all are done")
    encoders.close(10)
    assert (counters.encoded, counters.dropped, len(done)) == (60, {}, 60)


def test_who_still_works_for_the_bundle_before_is_waited_for_by_the_next() -> None:
    gate = threading.Semaphore(0)
    before, after = [GatedEncoder(gate)], [GatedEncoder(gate) for _ in range(3)]
    counters, done = Counters(), []
    encoders = EncoderPool({"image": before})
    encoders.start()
    for crew in (before, after):
        encoders = encoders.followed_by({"image": crew})
        for number in range(4):
            encoders.queue("s", "image", number, done.append, counters)
    wait_until(lambda: before[0].got == 1, "the first is at work")
    gate.release(8)
    encoders.close(10)
    assert (before[0].got, sum(encoder.got for encoder in after)) == (4, 4)
    assert (counters.encoded, len(done)) == (8, 8)

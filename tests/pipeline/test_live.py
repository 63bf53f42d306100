"""Live fusion lets time pass by itself, keeps streams apart, and survives failures."""

import numpy as np

from daemon.core.errors import ModelError
from daemon.core.records import MODALITIES, Counters, Embedding
from daemon.core.timing import monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.pipeline.live import LiveFusion, LiveStream
from tests.helpers.mosquitto import wait_until
from tests.pipeline.test_ordered import MS, new_fusion


class Listener:
    """Notes what is published, or fails while `fails` is true."""

    def __init__(self) -> None:
        self.moments: list[tuple[str, ...]] = []
        self.phases: list[str] = []
        self.fails = False

    def publish(self, fused: Fused) -> None:
        if self.fails:
            raise ModelError("the head does not run")
        self.moments += [tuple(recognition.moment.embeddings) for recognition in fused.recognitions]
        self.phases += [event.phase for event in fused.events]


def stream(name: str) -> tuple[LiveStream, Listener]:
    listener = Listener()
    counters = {modality: Counters() for modality in MODALITIES}
    return LiveStream(name, new_fusion(), listener.publish, counters), listener


def text(number: float) -> Embedding:
    now_ns = monotonic_ns()
    return Embedding("text", np.full(1, number, np.float32), now_ns, now_ns)


def test_an_embedding_expires_and_its_event_ends() -> None:
    one, listener = stream("one")
    fusion = LiveFusion([one])
    fusion.start()
    fusion.offer(one, text(6.0))
    wait_until(lambda: listener.phases[:1] == ["start"], "an event starts while its score holds")
    wait_until(lambda: listener.phases[-1:] == ["end"], "it ends when the text has expired")
    assert listener.moments == [("text",)]
    fusion.close(5)


def test_a_failure_is_counted_and_ends_neither_its_stream_nor_another() -> None:
    (bad, failing), (good, listener) = stream("bad"), stream("good")
    failing.fails = True
    fusion = LiveFusion([bad, good])
    fusion.start()
    fusion.offer(bad, text(6.0))
    fusion.offer(good, text(6.0))
    wait_until(lambda: listener.moments == [("text",)], "the other stream goes on")
    wait_until(lambda: bad.counters["text"].dropped == {"fusion_failed": 1}, "the failure is counted")
    failing.fails = False
    fusion.offer(bad, text(6.0))
    wait_until(lambda: failing.moments == [("text",)], "the stream goes on")
    fusion.close(5)
    assert good.counters["text"].dropped == {}


def test_close_ends_open_events_and_drops_late_embeddings() -> None:
    one, listener = stream("one")
    fusion = LiveFusion([one])
    fusion.start()
    fusion.offer(one, text(6.0))
    wait_until(lambda: listener.phases == ["start"], "an event starts")
    old_ns = monotonic_ns() - 10_000 * MS
    fusion.offer(one, Embedding("audio", np.zeros(1, np.float32), old_ns, old_ns))
    fusion.close(5)
    assert listener.phases == ["start", "end"]
    assert one.counters["audio"].dropped == {"late": 1}


def test_an_embedding_after_close_is_dropped_and_counted() -> None:
    one, listener = stream("one")
    fusion = LiveFusion([one])
    fusion.start()
    fusion.close(5)
    fusion.offer(one, text(6.0))
    assert listener.moments == []
    assert one.counters["text"].dropped == {"stopped": 1}

"""An encoder takes longer than its embeddings may be old: all are used, and an event lasts as long as its cause."""

import time

import numpy as np

from daemon.core.records import MODALITIES, Counters, Event, Frame, Modality
from daemon.core.timing import monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.lane import Lane, LiveFlow
from daemon.pipeline.live import LiveFusion, LiveStream
from daemon.pipeline.preparation import Preparation
from tests.fakes.encoders import LateEncoder
from tests.helpers.mosquitto import wait_until
from tests.pipeline.test_ordered import MS, SENSES, new_fusion, three_senses

MAX_AGE_MS = 100
ENCODING_S = 0.2
FRAMES = 40


def test_the_newest_picture_is_always_encoded_and_recognised_and_its_event_ends_only_when_pictures_do() -> None:
    counters: dict[Modality, Counters] = {modality: Counters() for modality in MODALITIES}
    late_ms: list[float] = []
    events: list[Event] = []

    def publish(fused: Fused) -> None:
        late_ms.extend(each.moment.embeddings["image"].late_ns / MS for each in fused.recognitions)
        events.extend(fused.events)

    encoders = EncoderPool({"image": [LateEncoder("image", 6.0, ENCODING_S)]}, SENSES)
    stream = LiveStream("s", new_fusion(), publish, counters)
    fusion = LiveFusion([stream])
    flow = LiveFlow(Lane(stream, Preparation(three_senses(), counters), encoders, fusion))
    encoders.start()
    fusion.start()
    for _ in range(FRAMES):
        flow.deliver(Frame((np.zeros((4, 4, 3), np.uint8),), monotonic_ns()))
        time.sleep(0.03)
    wait_until(lambda: events and events[-1].phase == "end", "the event ends when no picture comes")
    encoders.close(5)
    fusion.close(5)
    encoded = counters["image"].encoded
    assert encoded >= 2
    assert counters["image"].dropped == {"busy": FRAMES - encoded}
    assert len(late_ms) == encoded
    assert min(late_ms) > MAX_AGE_MS
    phases = [event.phase for event in events]
    assert (phases[0], phases[-1], set(phases[1:-1])) == ("start", "end", {"update"})

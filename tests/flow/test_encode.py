"""Encoders that hang or fail."""

import threading

import pytest

from daemon.flow.encode import Encoders
from daemon.records import MODALITIES, Counters, Embedding, Modality
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
    encoders = Encoders({modality: [encoder] for modality, encoder in stuck.items()})
    encoders.start()
    for modality in MODALITIES:
        encoders.offer("s", modality, "item", done.append, counters[modality])
        assert stuck[modality].entered.wait(10)
    encoders.close(0.3)
    assert caplog.text.count("left behind") == 3
    let_go.set()
    wait_until(lambda: len(done) == 3, "all are done with")
    assert [counters[modality].dropped for modality in MODALITIES] == [{"encoder_failed": 1}] * 3

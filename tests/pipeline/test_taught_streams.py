"""What a stream makes of taught labels: events where a label applies, and nothing of it elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.streams import EventsConfig, FusionConfig
from daemon.core.records import Embedding, Scoring
from daemon.core.timing import NS_PER_MS
from daemon.fusion.fuse import Fused
from daemon.pipeline.recogniser import load_recogniser
from daemon.pipeline.taught_bundle import write_taught_bundle
from tests.helpers import format2_bundle
from tests.helpers.taught import FittedLabels, on_streams

LABELS = {"kettle boils": on_streams("kitchen"), "garage: open": on_streams("kitchen", state_of="garage")}
EVENTS = EventsConfig(smoothing_s=0.1, min_duration_s=0)


@pytest.fixture(params=["independent", "exclusive"])
def taught(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bundle whose labels are recognised by the level of the sound: all of them when it is loud."""
    scoring: Scoring = request.param
    weights = np.zeros((2, sum(format2_bundle.SIZES.values()) + len(format2_bundle.SIZES)), np.float32)
    weights[:, 7] = 12
    fitted = FittedLabels(weights, np.full(2, -6, np.float32), LABELS)
    base = format2_bundle.write_bundle(tmp_path / "corner", scoring)
    write_taught_bundle(base, tmp_path / "taught", "1.0.0+taught.1", fitted, np.zeros((1, 11), np.float32))
    return tmp_path / "taught"


def heard(taught: Path, stream: str) -> tuple[list[str], Fused]:
    """Return the labels of a stream, and what a second of loud sound makes of them."""
    recogniser = load_recogniser(load_bundle(taught))
    fusion = recogniser.new_fusion(recogniser.new_head(), stream, FusionConfig(max_rate_hz=100), EVENTS)
    all_of_it = Fused()
    for number in range(10):
        now_ns = number * 100 * NS_PER_MS
        found = fusion.deliver(Embedding("sound", np.ones(1, np.float32), now_ns, now_ns), now_ns)
        all_of_it.recognitions += found.recognitions
        all_of_it.events += found.events
    return recogniser.bundle.manifest.labels_in(stream), all_of_it


def test_a_taught_label_starts_an_event_where_it_applies_and_a_state_starts_none(taught: Path) -> None:
    labels, fused = heard(taught, "kitchen")
    assert labels == [*format2_bundle.LABELS, *LABELS]
    assert {len(each.scores) for each in fused.recognitions} == {len(labels)}
    assert "kettle boils" in {event.label for event in fused.events}
    assert "garage: open" not in {event.label for event in fused.events}
    assert fused.recognitions[-1].scores[labels.index("garage: open")] > 0.8
    (event,) = (event for event in fused.events if event.label == "kettle boils")
    assert event.shares["audio"] == 1


def test_elsewhere_everything_is_as_without_it(taught: Path) -> None:
    labels, fused = heard(taught, "hall")
    assert labels == format2_bundle.LABELS
    base_labels, before = heard(taught.parent / "corner", "hall")
    assert labels == base_labels
    for new, old in zip(fused.recognitions, before.recognitions, strict=True):
        np.testing.assert_array_equal(new.scores, old.scores)
    assert [(event.label, event.phase) for event in fused.events] == [(e.label, e.phase) for e in before.events]

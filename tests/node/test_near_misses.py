"""The moments at which a taught label came near to an event that did not start: one of each approach."""

import pytest

from daemon.bundle.taught import Taught, TaughtLabel
from daemon.bundle.thresholds import Threshold
from daemon.core.records import Counters
from daemon.fusion.fuse import Fused
from daemon.node.near_misses import NearMisses
from daemon.node.peaks import PeakQueue
from daemon.teaching.records import Peak
from tests.node.test_peaks import PRINTS, event, recognition

LABELS = ["kettle", "door", "none"]
THRESHOLD = Threshold(start=0.8, end=0.6)
TAUGHT = Taught(
    model="taught.tflite",
    cases="cases.npz",
    labels={
        "kettle": TaughtLabel(streams={"hall": THRESHOLD}),
        "door": TaughtLabel(streams={"yard": THRESHOLD}),
    },
)
STATE = TAUGHT.model_copy(update={"labels": {"kettle": TaughtLabel(everywhere=THRESHOLD, state_of="stove")}})


@pytest.fixture
def queue() -> PeakQueue:
    return PeakQueue(Counters())


def see(follower: NearMisses, steps: list, taught: Taught | None = TAUGHT, labels: list[str] = LABELS) -> None:
    for step in steps:
        fused = Fused(recognitions=[recognition(*step)]) if isinstance(step[0], float) else Fused(events=[event(*step)])
        follower.observe(labels, PRINTS, taught, fused, 0)


def scores(found: list[Peak]) -> list[float]:
    return [round(peak.score, 3) for peak in found]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(1.0, 0.4), (1.5, 0.75), (2.0, 0.5), (3.0, 0.1)], [0.75]),
        ([(1.0, 0.9), (1.5, 0.1)], [0.9]),  # too short for an event
        ([(1.0, 0.75), (2.0, 0.5)], []),  # the approach goes on
        ([(1.0, 0.2), (2.0, 0.1)], []),
        ([(1.0, 0.7, 0.9), (2.0, 0.1, 0.1)], [0.7]),  # the door does not apply here
        ([(1.0, 0.7), (1.5, 0.9), ("start", 1.6), (2.0, 0.9), ("end", 2.5), (3.0, 0.1)], []),
        # while an event is open, and until its score has fallen, nothing is nearly recognised
        ([("start", 1.0), (1.2, 0.1), (1.4, 0.7), (1.6, 0.1)], []),
        ([("start", 1.0), (1.5, 0.9), ("end", 2.0), (2.1, 0.59), (2.2, 0.4), (2.3, 0.1)], []),
        ([("start", 1.0), ("end", 2.0), (2.1, 0.1), (3.0, 0.7), (3.5, 0.1)], [0.7]),
        ([(float(second), 0.5 + second / 100) for second in range(13)], [0.6]),  # it stays high for long
    ],
)
def test_each_approach_without_an_event_gives_its_highest_moment(
    queue: PeakQueue, steps: list, expected: list[float]
) -> None:
    follower = NearMisses("hall", queue)
    see(follower, steps)
    assert scores(queue.take_near_misses()) == expected
    assert queue.take() == [], "it is no peak of an event"


def test_a_near_miss_has_its_vectors_and_an_id_of_its_own(queue: PeakQueue) -> None:
    follower = NearMisses("hall", queue)
    ids = set()
    for second in (1.0, 2.0):
        see(follower, [(second, 0.7), (second + 0.5, 0.1)])
        (peak,) = queue.take_near_misses()
        assert (peak.label, peak.stream, peak.encoders) == ("kettle", "hall", {"sound": PRINTS["sound"]})
        assert peak.vectors["sound"][0] == pytest.approx(0.7)
        ids.add(peak.event)
    assert len(ids) == 2


def test_of_many_near_misses_the_highest_waits(queue: PeakQueue) -> None:
    follower = NearMisses("hall", queue)
    for second in range(500):
        see(follower, [(float(second), 0.5 + second % 300 / 1000), (second + 0.5, 0.1)])
    assert scores(queue.take_near_misses()) == [0.799]
    assert queue.take() == []


@pytest.mark.parametrize("taught", [None, STATE])
def test_what_makes_no_events_is_not_nearly_recognised(queue: PeakQueue, taught: Taught | None) -> None:
    see(NearMisses("hall", queue), [(1.0, 0.7), (2.0, 0.1)], taught)
    assert queue.take_near_misses() == []


def test_another_bundle_begins_anew(queue: PeakQueue) -> None:
    follower = NearMisses("hall", queue)
    see(follower, [(1.0, 0.7)])
    see(follower, [(2.0, 0.1)], labels=[*LABELS])
    assert queue.take_near_misses() == []

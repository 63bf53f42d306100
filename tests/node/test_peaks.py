"""The strongest moment of each event is kept until its end, and handed to the thread of teaching."""

import time

import numpy as np
import pytest

from daemon.core.records import Counters, Embedding, EndedBy, Event, EventPhase, Moment, Recognition
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.fusion.fuse import Fused
from daemon.node.peaks import MAX_RECENT, MAX_WAITING, EventPeaks, PeakQueue
from daemon.teaching.records import Peak

LABELS = ["kettle", "door", "none"]
PRINTS = {"sound": "a" * 64, "scene": "b" * 64}


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def queue(counters: Counters) -> PeakQueue:
    return PeakQueue(counters)


@pytest.fixture
def peaks(queue: PeakQueue) -> EventPeaks:
    return EventPeaks("hall", queue)


START_NS = monotonic_ns()


def recognition(at_s: float, kettle: float, door: float = 0.0) -> Recognition:
    at_ns = START_NS + round(at_s * NS_PER_S)
    embedding = Embedding("sound", np.array([kettle, door], np.float32), at_ns, at_ns)
    scores = np.array([kettle, door, 0.1], np.float32)
    return Recognition(Moment(at_ns, {"sound": embedding}), scores, scores, {"sound": scores})


def event(phase: EventPhase, at_s: float, label: str = "kettle", name: str = "one", started_s: float = 0.0) -> Event:
    at_ns, started_ns = START_NS + round(at_s * NS_PER_S), START_NS + round(started_s * NS_PER_S)
    ended_by: EndedBy | None = "absent" if phase == "end" else None
    return Event(phase, label, name, started_ns, at_ns, 0.5, 0.5, ended_by)


def see(peaks: EventPeaks, *fused: Recognition | Event, labels: list[str] = LABELS, delay_ns: int = 0) -> None:
    for each in fused:
        is_event = isinstance(each, Event)
        step = Fused(events=[each]) if isinstance(each, Event) else Fused(recognitions=[each])
        assert is_event == bool(step.events)
        peaks.observe(labels, PRINTS, step, delay_ns)


def summary(found: list[Peak]) -> list[tuple[str, str, float]]:
    return [(peak.event, peak.label, round(peak.score, 3)) for peak in found]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([(1.0, 0.7), (1.2, 0.9), "start", (2.0, 0.8), (2.2, 0.3)], 0.9),  # the peak is before the start
        ([(1.0, 0.7), "start", (1.5, 0.8), (2.0, 0.95), (2.1, 0.2)], 0.95),
        ([(-4.0, 0.99), (1.0, 0.7), "start", (1.5, 0.6)], 0.7),  # what is long ago is no part of the event
        ([(1.0, 0.7), "start"], 0.7),
    ],
)
def test_the_peak_of_an_event(peaks: EventPeaks, queue: PeakQueue, scores: list, expected: float) -> None:
    for each in scores:
        see(peaks, event("start", 1.3, started_s=1.0) if each == "start" else recognition(*each))
    assert peaks.open_labels == {"kettle"}
    assert summary(peaks.open_peaks()) == [("one", "kettle", expected)]
    assert queue.take() == []
    see(peaks, event("end", 3.0))
    (peak,) = queue.take()
    assert summary([peak]) == [("one", "kettle", expected)]
    assert (peak.stream, peak.encoders) == ("hall", {"sound": PRINTS["sound"]})
    assert peak.vectors["sound"][0] == np.float32(expected)
    assert (peaks.open_labels, peaks.open_peaks(), queue.take()) == (frozenset(), [], [])


def test_the_highest_moments_of_an_event_that_are_apart_are_kept(peaks: EventPeaks, queue: PeakQueue) -> None:
    scores = [(0.0, 0.5), (0.5, 0.9), (0.6, 0.95), (0.7, 0.94), (1.5, 0.7), (2.0, 0.6), (2.5, 0.8), (3.0, 0.4)]
    see(peaks, *(recognition(*each) for each in scores[:2]), event("start", 0.6))
    see(peaks, *(recognition(*each) for each in scores[2:]), event("end", 4.0))
    (peak,) = queue.take()
    assert peak.vectors["sound"][0] == np.float32(0.95)
    assert [vectors["sound"][0] for vectors in peak.further] == [np.float32(each) for each in (0.8, 0.7, 0.6)]


def test_events_of_two_labels_have_peaks_of_their_own(peaks: EventPeaks, queue: PeakQueue) -> None:
    see(peaks, recognition(0, 0.8, 0.2), event("start", 0.3), recognition(1, 0.5, 0.9))
    see(peaks, event("start", 1.3, "door", "two", 1.0), event("end", 2), event("end", 2, "door", "two"))
    assert summary(queue.take()) == [("one", "kettle", 0.8), ("two", "door", 0.9)]


def test_the_time_is_that_of_the_capture(peaks: EventPeaks, queue: PeakQueue) -> None:
    see(peaks, recognition(0, 0.8), event("start", 0.3), event("end", 2), delay_ns=10 * NS_PER_S)
    (peak,) = queue.take()
    age_s = (monotonic_ns() - START_NS) / NS_PER_S
    assert peak.taken_s == pytest.approx(time.time() - age_s - 10, abs=1)


def test_another_bundle_begins_anew(peaks: EventPeaks, queue: PeakQueue) -> None:
    see(peaks, recognition(0, 0.9))
    see(peaks, event("start", 0.1), event("end", 0.2), labels=[*LABELS])
    assert queue.take() == [], "the moment is of the bundle before"


def test_memory_is_bounded(peaks: EventPeaks, queue: PeakQueue, counters: Counters) -> None:
    for index in range(MAX_WAITING + 3):
        see(
            peaks, *(recognition(index, 0.5) for _ in range(2)), event("start", index, name=str(index), started_s=index)
        )
        see(peaks, event("end", index, name=str(index)))
    assert counters.dropped == {"peak_late": 3}
    assert summary(queue.take())[0][0] == "3"
    see(peaks, recognition(300, 0.9), *(recognition(300, 0.5) for _ in range(MAX_RECENT)))
    see(peaks, event("start", 300, started_s=300))
    assert summary(peaks.open_peaks())[0][2] == 0.5


def test_an_end_without_a_start_is_nothing(peaks: EventPeaks, queue: PeakQueue) -> None:
    see(peaks, event("end", 1), event("update", 1))
    assert queue.take() == []

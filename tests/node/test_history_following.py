"""What the history follows of fused events: peaks, ends, the times of clips, and when there was speech."""

from collections.abc import Mapping

import numpy as np
import pytest

from daemon.core.records import Embedding, EndedBy, Event, EventPhase, Modality, Moment, Recognition
from daemon.core.timing import NS_PER_S
from daemon.fusion.events import EventSettings
from daemon.fusion.fuse import Fused
from daemon.node.history_following import (
    MAX_ENDED,
    MAX_PASSAGES,
    Followed,
    Speech,
    StreamFollowing,
    clip_times,
)

LABELS = ["none", "dog", "speech"]


def settings(labels: list[str] | None = None) -> EventSettings:
    names = labels or LABELS
    return EventSettings(
        encoders={"image": ["image"], "audio": ["audio"]},
        labels=names,
        makes_events=[name != "none" for name in names],
        start=np.full(len(names), 0.6, np.float32),
        end=np.full(len(names), 0.4, np.float32),
        smoothing_ns=0,
        min_duration_ns=0,
        max_duration_ns=60 * NS_PER_S,
        update_every_ns=5 * NS_PER_S,
    )


SETTINGS = settings()


def recognition(at_s: float, dog: float = 0.0, speech: float = 0.0, shares: Mapping[str, float] | None = None) -> Fused:
    given = shares or {"image": 1.0}
    scores = np.array([1 - max(dog, speech), dog, speech], np.float32)
    at_ns, vector = round(at_s * NS_PER_S), np.zeros(2, np.float32)
    moment = Moment(at_ns, {name: Embedding(name, vector, at_ns - NS_PER_S, at_ns) for name in given})
    parts = {name: np.full(3, share, np.float32) for name, share in given.items()}
    return Fused(recognitions=[Recognition(moment, scores, np.zeros(3, np.float32), parts)])


def event(
    phase: EventPhase,
    at_s: float,
    *,
    started_s: float = 10.0,
    name: str = "e",
    label: str = "dog",
    ended_by: EndedBy | None = None,
    peak: float = 0.8,
) -> Fused:
    times = round(started_s * NS_PER_S), round(at_s * NS_PER_S)
    shares: dict[Modality, float] = {"image": 1.0}
    return Fused(events=[Event(phase, label, name, *times, 0.7, peak, ended_by, shares)])


def following(*excluded: str, hears_speech: bool = False) -> StreamFollowing:
    return StreamFollowing("door", excluded, hears_speech=hears_speech)


def follow(stream: StreamFollowing, *steps: Fused, bundle: str = "b 1", delay_ns: int = 0) -> int:
    return sum(stream.observe(bundle, SETTINGS, step, delay_ns) for step in steps)


def test_the_peak_is_the_moment_at_which_the_label_scored_highest_also_before_the_event_was_sure() -> None:
    stream = following()
    follow(
        stream,
        recognition(9.0, dog=0.95),
        recognition(10.2, dog=0.9, shares={"image": 1.0, "audio": 3.0}),
        event("start", 10.3),
        recognition(10.6, dog=0.7),
    )
    (found,) = stream.take()
    assert (found.label, found.stream, found.bundle, found.ended_ns) == ("dog", "door", "b 1", None)
    # two seconds before the start it may have risen, earlier it was another presence
    assert found.peak_ns == 9 * NS_PER_S
    follow(stream, recognition(11.0, dog=0.97, shares={"image": 1.0, "audio": 3.0}), event("update", 12.0, peak=0.93))
    (found,) = stream.take()
    assert (found.peak_ns, found.peak) == (11 * NS_PER_S, 0.93)
    assert found.shares == {"image": 0.25, "audio": 0.75}


def test_a_moment_long_before_the_start_is_no_peak() -> None:
    stream = following()
    follow(stream, recognition(7.9, dog=0.99), recognition(10.0, dog=0.7), event("start", 10.3))
    (found,) = stream.take()
    assert found.peak_ns == 10 * NS_PER_S


def test_an_event_shorter_than_a_round_is_taken_once_with_its_end() -> None:
    stream = following()
    follow(stream, recognition(10.0, dog=0.7), event("start", 10.1), event("end", 10.2, ended_by="absent"))
    (found,) = stream.take()
    assert (found.ended_ns, found.ended_by) == (round(10.2 * NS_PER_S), "absent")
    assert stream.take() == []


def test_an_event_without_any_recognition_of_its_own_has_its_start_as_peak() -> None:
    stream = following()
    follow(stream, event("start", 10.3))
    (found,) = stream.take()
    assert (found.peak_ns, found.shares) == (10 * NS_PER_S, {"image": 1.0})


def test_events_that_overlap_are_followed_each() -> None:
    stream = following()
    follow(
        stream,
        event("start", 10.0, name="dog"),
        event("start", 11.0, name="speech", label="speech", started_s=11.0),
        recognition(11.5, dog=0.8, speech=0.9),
        event("end", 12.0, name="dog", ended_by="other"),
    )
    assert [(each.id, each.ended_by) for each in stream.take()] == [("dog", "other"), ("speech", None)]
    assert [each.id for each in stream.take()] == ["speech"]


def test_an_excluded_label_is_not_followed() -> None:
    stream = following("dog")
    follow(stream, event("start", 10.0), event("update", 11.0), event("end", 12.0))
    assert stream.take() == []


@pytest.mark.parametrize("ended_by", ["bundle", "paused", "reload", "stopped", "timeout"])
def test_the_end_says_what_ended_the_event(ended_by: EndedBy) -> None:
    stream = following()
    follow(stream, event("start", 10.0), event("end", 12.0, ended_by=ended_by))
    (found,) = stream.take()
    assert found.ended_by == ended_by


def test_another_bundle_has_other_labels_and_the_events_of_before_keep_their_peaks() -> None:
    stream, other = following(), settings(["none", "cat", "bird", "dog"])
    follow(stream, recognition(10.0, dog=0.9), event("start", 10.1, name="old"), delay_ns=5)
    (later,) = recognition(11.0).recognitions
    four = np.array([0, 0.9, 0, 0.99], np.float32)
    wider = Recognition(later.moment, four, np.zeros(4, np.float32), {"image": np.ones(4, np.float32)})
    stream.observe("b 2", other, Fused(recognitions=[wider]), 0)
    stream.observe("b 2", other, event("start", 11.1, name="new", started_s=11.0), 0)
    stream.observe("b 1", other, event("end", 11.2, name="old", ended_by="bundle"), 0)
    old, new = stream.take()
    assert (old.id, old.bundle, old.peak_ns, old.delay_ns) == ("old", "b 1", 10 * NS_PER_S, 5)
    assert (new.id, new.bundle, new.peak_ns) == ("new", "b 2", 11 * NS_PER_S)


def test_while_nobody_takes_them_ended_events_are_bounded_but_no_end_of_a_taken_one_is_lost() -> None:
    stream = following()
    follow(stream, event("start", 10.0, name="taken"))
    stream.take()
    dropped = 0
    for number in range(MAX_ENDED + 3):
        dropped += follow(stream, event("start", 11.0, name=str(number)), event("end", 11.1, name=str(number)))
    assert dropped == 3
    assert follow(stream, event("end", 12.0, name="taken")) == 0
    assert [each.id for each in stream.take()][-1] == "taken"


def an_event(ended_s: float | None = None, ended_by: EndedBy = "absent") -> Followed:
    ended_ns = None if ended_s is None else round(ended_s * NS_PER_S)
    times = 100 * NS_PER_S, 0, 101 * NS_PER_S
    return Followed(
        "e", "door", "dog", "b", *times, times[-1], 0.9, {}, ended_ns, None if ended_s is None else ended_by
    )


@pytest.mark.parametrize(
    ("found", "until_s", "due_s"),
    [
        (an_event(), 95 + 120, 95 + 122),
        (an_event(110.0), 113, 115),
        (an_event(110.0, "bundle"), 113, 115),
        # the camera is closed, or the daemon stops: nothing comes any more
        (an_event(110.0, "paused"), 110, 110),
        (an_event(110.0, "stopped"), 110, 110),
        (an_event(110.0, "reload"), 110, 110),
        (an_event(500.0), 95 + 120, 95 + 122),
        (an_event(500.0, "stopped"), 95 + 120, 500),
    ],
)
def test_the_times_of_a_clip(found: Followed, until_s: int, due_s: int) -> None:
    times = clip_times(found, 5 * NS_PER_S, 3 * NS_PER_S)
    assert (times.begin_ns, times.until_ns, times.due_ns) == (95 * NS_PER_S, until_s * NS_PER_S, due_s * NS_PER_S)


def test_speech_is_heard_where_it_scored_high_or_its_event_was_open() -> None:
    stream = following("speech", hears_speech=True)
    follow(stream, recognition(10.0, speech=0.59), recognition(20.0, speech=0.61, shares={"audio": 1.0}))
    seconds = NS_PER_S
    assert not stream.heard_speech(9 * seconds, 11 * seconds)
    # what it was recognised from has begun a second earlier
    assert stream.heard_speech(18 * seconds, round(19.2 * seconds))
    assert not stream.heard_speech(21 * seconds, 29 * seconds)
    follow(stream, event("start", 30.4, label="speech", started_s=30.0))
    assert stream.heard_speech(50 * seconds, 60 * seconds)
    assert not stream.heard_speech(21 * seconds, 29 * seconds)
    follow(stream, event("end", 70.0, label="speech", started_s=30.0))
    assert stream.heard_speech(60 * seconds, 61 * seconds)
    assert not stream.heard_speech(71 * seconds, 80 * seconds)


def test_so_many_passages_of_speech_that_they_do_not_fit_leave_no_passage_out() -> None:
    speech = Speech()
    for number in range(MAX_PASSAGES + 5):
        speech.add(number * 1000, number * 1000 + 10)
    assert len(speech.passages) == MAX_PASSAGES
    assert all(speech.was_heard(number * 1000, number * 1000 + 1) for number in range(MAX_PASSAGES + 5))

"""The demo's score counts the digits that were shown, and no other."""

from clip_score import EventStart, Passage, score

CLIP = [Passage(1, 2, "image", "3"), Passage(4, 5, "audio", "7"), Passage(7, 8, "contradiction", None, frozenset("26"))]


def test_passages_watched_completely_count_once_per_pass() -> None:
    events = [EventStart(1.2, "3"), EventStart(5.9, "7"), EventStart(11.5, "3")]
    result = score(CLIP, clip_s=10, watched_s=14, events=events)
    assert dict(result.shown) == {"image": 2, "audio": 1}
    assert dict(result.recognised) == {"image": 2, "audio": 1}
    assert result.unfounded == []


def test_a_missed_digit_and_a_wrong_one_are_not_counted_as_recognised() -> None:
    result = score(CLIP, clip_s=10, watched_s=9, events=[EventStart(1.2, "8"), EventStart(7.5, "3")])
    assert dict(result.shown) == {"image": 1, "audio": 1}
    assert result.recognised.total() == 0
    assert result.unfounded == [EventStart(1.2, "8"), EventStart(7.5, "3")]


def test_an_event_during_a_contradiction_is_listed_separately() -> None:
    result = score(
        CLIP, clip_s=10, watched_s=10, events=[EventStart(7.5, "2"), EventStart(7.6, "3"), EventStart(2.0, "6")]
    )
    assert result.contradicted == [EventStart(7.5, "2")]
    assert result.unfounded == [EventStart(7.6, "3"), EventStart(2.0, "6")]


def test_an_incomplete_passage_does_not_count_and_its_event_is_not_wrong() -> None:
    result = score(CLIP, clip_s=10, watched_s=5.5, events=[EventStart(1.2, "3"), EventStart(4.8, "7")])
    assert dict(result.shown) == {"image": 1}
    assert result.unfounded == []

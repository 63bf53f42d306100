"""The demo's score of recognised digits counts what was shown, and nothing that was not."""

from clip_score import Passage, Seen, score

CLIP = [Passage(1, 2, "image", "3"), Passage(4, 5, "audio", "7"), Passage(7, 8, "contradiction", None, frozenset("26"))]


def test_passages_watched_to_their_end_count_and_each_pass_counts_anew() -> None:
    events = [Seen(1.2, "3"), Seen(5.9, "7"), Seen(11.5, "3")]
    result = score(CLIP, clip_s=10, watched_s=14, events=events)
    assert dict(result.shown) == {"image": 2, "audio": 1}
    assert dict(result.recognised) == {"image": 2, "audio": 1}
    assert result.unfounded == []


def test_a_missed_digit_and_a_wrong_one_are_told() -> None:
    result = score(CLIP, clip_s=10, watched_s=9, events=[Seen(1.2, "8"), Seen(7.5, "3")])
    assert dict(result.shown) == {"image": 1, "audio": 1}
    assert result.recognised.total() == 0
    assert result.unfounded == [Seen(1.2, "8"), Seen(7.5, "3")]


def test_an_event_of_one_sense_against_another_is_told_apart() -> None:
    result = score(CLIP, clip_s=10, watched_s=10, events=[Seen(7.5, "2"), Seen(7.6, "3"), Seen(2.0, "6")])
    assert result.contradicted == [Seen(7.5, "2")]
    assert result.unfounded == [Seen(7.6, "3"), Seen(2.0, "6")]


def test_a_passage_cut_short_neither_counts_nor_makes_its_event_wrong() -> None:
    result = score(CLIP, clip_s=10, watched_s=5.5, events=[Seen(1.2, "3"), Seen(4.8, "7")])
    assert dict(result.shown) == {"image": 1}
    assert result.unfounded == []

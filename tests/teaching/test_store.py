"""What was taught is on disk: completely or not at all, bounded, and erased when it is to be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.core.errors import TeachingError
from daemon.core.timing import clock_text
from daemon.teaching.records import Example, Question, StoredMoment
from daemon.teaching.review import Review
from daemon.teaching.store import TeachingStore
from tests.teaching.records import MADE_BY, background, example, peak, same, vectors, wrong

NOW_S = 1_700_000_100.0


class Clock:
    """The wall time, as a test sets it."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "teaching" / "teaching.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[TeachingStore]:
    made = TeachingStore(path, now=clock)
    yield made
    made.close()


def test_an_example_is_there_after_opening_again_number_for_number(store: TeachingStore, path: Path) -> None:
    taught = example(picture=b"jpeg", sound=b"wave")
    store.add_example(taught)
    store.close()
    again = TeachingStore(path, read_only=True)
    assert same(again.example("e1"), taught)
    (info,) = again.examples()
    assert (info.id, info.moments, info.has_picture, info.has_sound) == ("e1", 2, True, True)
    again.close()


def test_only_the_owner_reads_the_file(store: TeachingStore, path: Path) -> None:
    store.add_example(example())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def ids(store: TeachingStore) -> list[str]:
    return [info.id for info in store.examples()]


def test_each_step_is_undone_the_latest_first(store: TeachingStore) -> None:
    store.add_example(example("e1"))
    store.add_example(example("e2", origin="missed"))
    store.add_wrong(wrong(), "event1")
    store.remove_example("e1")
    assert ids(store) == ["e2"]
    at = clock_text(example().taken_s)
    assert store.undo() == f"the removal of example e1 of kettle boils in kitchen at {at}"
    assert ids(store) == ["e1", "e2"]
    assert store.undo() == f"kettle boils in kitchen at {clock_text(wrong().taken_s)} was wrong"
    assert store.wrong_counts() == {}
    assert store.undo() == f"the missed kettle boils in kitchen at {at}, example e2"
    assert store.undo() == f"example e1 of kettle boils in kitchen at {at}"
    assert ids(store) == []
    assert store.undo() is None


def test_all_changes_of_one_step_are_undone_together(store: TeachingStore) -> None:
    with store.step("the answer that it was bell"):
        store.add_wrong(wrong(), "event1")
        store.add_example(example(label="bell", origin="answer"))
    assert store.undo() == "the answer that it was bell"
    assert (ids(store), store.wrong_counts()) == ([], {})


def test_a_step_that_fails_leaves_nothing(store: TeachingStore) -> None:
    before = store.changes()
    with pytest.raises(TeachingError, match="is there already"), store.step("two"):
        store.add_example(example())
        store.add_example(example())
    assert (ids(store), store.changes(), store.undo()) == ([], before, None)


def test_a_number_grows_with_what_a_fit_depends_on(store: TeachingStore) -> None:
    seen = [store.changes()]
    store.add_background(background())
    store.add_peak(peak())
    assert store.changes() == seen[0]
    store.add_example(example())
    seen.append(store.changes())
    store.set_everywhere("kettle boils")
    seen.append(store.changes())
    store.set_everywhere("kettle boils")
    assert store.changes() == seen[-1]
    store.add_wrong(wrong(), None)
    seen.append(store.changes())
    store.undo()
    seen.append(store.changes())
    store.forget_label("kettle boils")
    seen.append(store.changes())
    assert seen == sorted(set(seen))


def test_a_label_whose_last_example_was_removed_is_told_from_one_that_is_lost(store: TeachingStore) -> None:
    labels = ["kettle boils", "bell", "tap"]
    assert (store.was_taught(), store.forgotten(labels)) == (False, frozenset())
    store.add_background(background())
    assert not store.was_taught()
    store.add_example(example())
    store.add_example(example("b1", "bell"))
    store.add_example(example("b2", "bell"))
    store.remove_example("b1")
    assert store.forgotten(labels) == frozenset()
    store.remove_example("b2")
    assert store.forgotten(labels) == {"bell"}
    store.undo()
    assert store.forgotten(labels) == frozenset()
    store.undo(), store.undo(), store.undo()
    assert store.forgotten(labels) == {"bell"}
    store.forget_label("kettle boils")
    assert store.forgotten(labels) == {"bell", "kettle boils"}
    store.add_example(example("k2"))
    assert store.forgotten(labels) == {"bell"}
    with pytest.raises(TeachingError, match="nothing is known of a label tap"):
        store.forget_label("tap")
    store.forget_label("tap", is_lost=True)
    assert store.forgotten(labels) == {"bell", "tap"}
    store.forget_label("kettle boils")
    assert store.was_taught()


def test_another_store_has_other_numbers_of_changes(store: TeachingStore, tmp_path: Path) -> None:
    other = TeachingStore(tmp_path / "other" / "teaching.db")
    assert other.changes() != store.changes()
    other.close()


def test_a_forgotten_label_leaves_nothing(store: TeachingStore) -> None:
    store.add_example(example())
    store.add_example(example("other", "bell"))
    store.add_wrong(wrong(), "event1")
    store.add_peak(peak())
    store.set_everywhere("kettle boils")
    store.forget_label("kettle boils")
    assert (ids(store), store.wrong_counts(), store.peak("event1")) == (["other"], {}, None)
    assert store.everywhere() == frozenset()
    with pytest.raises(TeachingError, match="nothing is known of a label kettle boils"):
        store.forget_label("kettle boils")


def test_the_latest_peak_is_found_by_label_and_stream(store: TeachingStore) -> None:
    for number, label in enumerate(["kettle boils", "bell", "kettle boils"]):
        store.add_peak(peak(f"event{number}", label))
    found = store.latest_peak({"kettle boils"}, "kitchen")
    assert found is not None and found.event == "event2"
    assert store.latest_peak({"kettle boils"}, "yard") is None
    found = store.latest_peak({"bell", "whistle"})
    assert found is not None and same(found, peak("event1", "bell"))


def test_an_event_that_was_called_wrong_is_asked_about_no_more(store: TeachingStore) -> None:
    store.ask(Question("q1", "near_threshold", True, NOW_S, peak("event1")))
    store.ask(Question("q2", "near_threshold", True, NOW_S, peak("event2")))
    store.add_wrong(wrong(), "event1")
    assert [each.id for each in store.questions()] == ["q2"]
    store.ask(Question("q3", "flip_flop", True, NOW_S, peak("event1")))
    assert [each.id for each in store.questions()] == ["q2"]
    assert store.undo() is not None
    store.ask(Question("q3", "flip_flop", True, NOW_S, peak("event1")))
    assert [each.id for each in store.questions()] == ["q2", "q3"]


def test_a_question_stays_until_it_is_answered(store: TeachingStore, path: Path) -> None:
    asked = Question("q1", "near_threshold", False, NOW_S, peak())
    store.ask(asked)
    other = TeachingStore(path, read_only=True)
    assert same(other.questions(), [asked])
    assert other.review() == Review(NOW_S, None)
    other.close()
    store.remove_question("q1")
    assert store.questions() == []
    store.ask(Question("q2", "spot_check", True, NOW_S + 1, peak()))
    assert store.review() == Review(NOW_S + 1, NOW_S + 1)


def test_the_next_label_is_kept(store: TeachingStore) -> None:
    assert store.next_label() is None
    store.set_next_label("bell")
    assert store.next_label() == "bell"


def test_training_takes_what_the_same_encoders_have_made(store: TeachingStore) -> None:
    store.add_example(example("both"))
    store.add_example(example("older", encoders=MADE_BY | {"audio": "c" * 64}))
    store.add_example(
        example("seen", encoders={"image": MADE_BY["image"]}, moments=[StoredMoment(0, {"image": vectors()["image"]})])
    )
    store.add_background(background())
    store.add_wrong(wrong(), None)
    data = store.training_data(MADE_BY)
    assert [found.id for found in data.examples] == ["both", "seen"]
    assert (list(data.others), list(data.damaged)) == (["older"], [])
    assert store.others(MADE_BY) == ["older"]
    assert (len(data.background), len(data.wrong)) == (1, 1)
    alone = store.training_data({"image": MADE_BY["image"]})
    assert [list(found.encoders) for found in alone.examples] == [["image"]] * 3
    assert all(set(moment.vectors) == {"image"} for found in alone.examples for moment in found.moments)
    assert store.background_counts(MADE_BY) == {"kitchen": 1}
    assert store.background_counts({"image": "d" * 64}) == {}
    assert sum(store.background_by_hour("kitchen", MADE_BY)) == 1
    assert store.background_by_hour("kitchen", {"image": "d" * 64}) == (0,) * 24
    assert same(store.moments_of_label("kettle boils")[0], list(example().moments))
    assert store.moments_of_label("bell") == []


def test_an_example_is_embedded_anew_and_keeps_what_the_press_gave(store: TeachingStore) -> None:
    store.add_example(example())
    for letter in "cdef":
        store.add_embedding("e1", {"image": letter * 64}, [StoredMoment(0, {"image": vectors()["image"]})])
    assert [len(store.training_data({"image": letter * 64}).examples) for letter in "acdef"] == [1, 0, 0, 1, 1]
    assert same(store.example("e1"), example())


BAD: dict[str, Example] = {
    "not finite": example(moments=[StoredMoment(0, {"image": np.array([1.0, np.nan], np.float32)})]),
    "not finite ": example(moments=[StoredMoment(0, {"image": np.array([1e300])})]),  # type: ignore[dict-item]
    "1 to 16": example(moments=[StoredMoment(0, {})]),
    "1 to 64": example(moments=[]),
    "none of an encoder": example(moments=[StoredMoment(0, {"../image": np.zeros(2, np.float32)})]),
    "shape": example(moments=[StoredMoment(0, {"image": np.zeros((2, 2), np.float32)})]),
    "expected 500 to": example(moments=[StoredMoment(500, vectors()), StoredMoment(0, vectors())]),
    "1 to 64 characters": example(label="k" * 10_000),
    "printable text without": example(label="kettle/boils"),
    "expected 'kettle'": example(label=" kettle"),
    "its id": example("../../etc"),
    "its stream": example(stream="a\nb"),
    "no time": example(taken_s=float("nan")),
    "no time ": example(taken_s=-9e10),
    "is no time": example(taken_s=9e11),
    "its picture and its sound": example(picture=bytes((1 << 20) + 1)),
    "image has no fingerprint": example(encoders={"audio": "b" * 64}),
}


@pytest.mark.parametrize("words", BAD)
def test_what_cannot_be_an_example_is_refused_in_words(store: TeachingStore, words: str) -> None:
    with pytest.raises(TeachingError, match=words.strip()) as refused:
        store.add_example(BAD[words])
    assert refused.value.kind == "invalid"
    assert (ids(store), store.undo()) == ([], None)


def test_what_is_not_there_is_named(store: TeachingStore) -> None:
    for act in (store.example, store.remove_example):
        with pytest.raises(TeachingError, match="there is no example e9") as refused:
            act("e9")
        assert refused.value.kind == "unknown"


def test_a_store_that_is_read_only_changes_nothing(store: TeachingStore, path: Path) -> None:
    reader = TeachingStore(path, read_only=True)
    with pytest.raises(TeachingError, match="for reading only"):
        reader.add_example(example())
    reader.close()

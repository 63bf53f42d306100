"""However much is taught, the store stays bounded; and what is not to be kept is on no disk."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core.errors import TeachingError
from daemon.teaching.records import BackgroundMoment, StoredMoment, WrongMoment
from daemon.teaching.store import TeachingStore
from tests.teaching.records import MADE_BY, background, example, peak, vectors, wrong

NOW_S = 1_700_000_000.0
HOUR_S = 3600.0
DAY_S = 86400.0

# bytes that occur nowhere else
PICTURE, SOUND = b"a picture of the kitchen" * 50, b"what was said in the kitchen" * 50


class Clock:
    """The wall time, as a test sets it."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "teaching"


@pytest.fixture
def store(directory: Path, clock: Clock) -> Iterator[TeachingStore]:
    made = TeachingStore(directory / "teaching.db", now=clock)
    yield made
    made.close()


def on_disk(directory: Path) -> bytes:
    """All bytes of all files, by a process that holds no lock."""
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*"))


def test_thousands_of_presses_are_bounded(store: TeachingStore, directory: Path) -> None:
    refused: Counter[str] = Counter()
    with store.step("presses"):  # one step: the disk is waited for once
        for number in range(2000):
            try:
                store.add_example(example(f"e{number}", f"label {number % 7}"))
            except TeachingError as error:
                assert error.kind == "limit"
                refused[str(error).split(" has ")[-1].split(" are ")[-1]] += 1
    assert len(store.examples()) == 1000
    assert sum(refused.values()) == 1000
    assert "1000 examples, which is the most: remove some first" in refused
    assert size(directory) < 3 << 20


def test_the_presses_of_one_label_are_bounded(store: TeachingStore) -> None:
    with store.step("presses"):
        for number in range(200):
            store.add_example(example(f"e{number}"))
    with pytest.raises(TeachingError, match="kettle boils has 200 examples, which is the most") as refused:
        store.add_example(example("another"))
    assert refused.value.kind == "limit"
    store.add_example(example("other", "bell"))


def test_wrong_moments_are_bounded_and_one_event_counts_once(store: TeachingStore) -> None:
    with store.step("wrong"):
        for number in range(500):
            store.add_wrong(wrong(), f"event{number}")
    store.add_wrong(wrong(), "event3")
    assert store.wrong_counts() == {"kettle boils": 500}
    with pytest.raises(TeachingError, match="called wrong 500 times"):
        store.add_wrong(wrong(), "another")


def moment(
    number: int, taken_s: float, stream: str = "kitchen", encoders: dict[str, str] = MADE_BY
) -> BackgroundMoment:
    return BackgroundMoment(stream, taken_s, encoders, vectors(number, 4))


def hours(store: TeachingStore, encoders: dict[str, str] = MADE_BY) -> Counter[int]:
    found = store.training_data(encoders).background
    return Counter(int(each.taken_s // HOUR_S) % 24 for each in found)


def test_the_reservoir_keeps_each_hour_of_the_day(store: TeachingStore) -> None:
    midnight_s = NOW_S - NOW_S % DAY_S
    with store.step("background"):  # one step: the disk is waited for once
        for number in range(1990):
            store.add_background(moment(number, midnight_s + number % 3))
        for number in range(300):
            store.add_background(moment(number, midnight_s + (1 + number % 10) * HOUR_S))
    found = hours(store)
    assert found.total() == 2000
    assert len(found) == 11
    assert all(count == 30 for hour, count in found.items() if count < 1000)


def test_background_of_earlier_encoders_makes_room_first(store: TeachingStore) -> None:
    earlier = MADE_BY | {"audio": "c" * 64}
    with store.step("background"):
        for number in range(2000):
            store.add_background(moment(number, NOW_S + number, encoders=earlier if number % 2 else MADE_BY))
        for number in range(900):
            store.add_background(moment(number, NOW_S))
    assert store.background_counts(MADE_BY) == {"kitchen": 1900}
    assert store.background_counts(earlier) == {"kitchen": 100}


def test_peaks_are_kept_by_count_and_by_age(store: TeachingStore, clock: Clock) -> None:
    with store.step("peaks"):
        for number in range(1005):
            store.add_peak(peak(f"event{number}", taken_s=NOW_S))
    assert [store.peak(f"event{number}") is None for number in (0, 4, 5, 1004)] == [True, True, False, False]
    clock.now_s += 7 * DAY_S + 1
    store.add_peak(peak("new", taken_s=clock.now_s))
    assert store.peak("event1004") is None
    assert store.peak("new") is not None


def test_questions_and_labels_of_all_streams_are_bounded(store: TeachingStore) -> None:
    with store.step("labels"):
        for number in range(200):
            store.set_everywhere(f"label {number}")
    with pytest.raises(TeachingError, match="200 labels belong to all streams"):
        store.set_everywhere("another")


def test_without_pictures_and_sound_nothing_but_embeddings_is_on_the_disk(
    store: TeachingStore, directory: Path
) -> None:
    store.add_example(example("kept", picture=PICTURE, sound=SOUND))
    assert PICTURE in on_disk(directory) and SOUND in on_disk(directory)
    other = TeachingStore(directory.parent / "other" / "teaching.db")
    other.add_example(example())
    other.add_background(background())
    other.add_wrong(wrong(), "event1")
    other.add_peak(peak())
    found = on_disk(directory.parent / "other")
    assert PICTURE[:24] not in found and SOUND[:28] not in found
    other.close()
    assert {path.name for path in directory.parent.rglob("*")} <= {
        "teaching",
        "other",
        "teaching.db",
        "teaching.db-journal",
    }
    assert all(path.stat().st_mode & 0o77 == 0 for path in directory.parent.rglob("*"))


def test_what_is_forgotten_is_erased_from_the_disk_at_once(store: TeachingStore, directory: Path) -> None:
    store.add_example(example(picture=PICTURE, sound=SOUND))
    store.add_wrong(WrongMoment("kettle boils", "kitchen", NOW_S, MADE_BY, vectors(11)), None)
    assert vectors(11)["image"].tobytes() in on_disk(directory)
    store.forget_label("kettle boils")
    found = on_disk(directory)
    assert PICTURE[:24] not in found and SOUND[:28] not in found
    assert vectors(1)["image"].tobytes() not in found and vectors(11)["image"].tobytes() not in found
    assert b"kettle" not in found
    assert store.undo() is None


def test_what_is_removed_can_come_back_for_an_hour_and_then_is_erased(
    store: TeachingStore, directory: Path, clock: Clock
) -> None:
    store.add_example(example(picture=PICTURE))
    store.remove_example("e1")
    clock.now_s += HOUR_S - 1
    store.tidy()
    assert str(store.undo()).startswith("the removal of example e1 of kettle boils in kitchen at ")
    store.remove_example("e1")
    clock.now_s += HOUR_S + 1
    store.tidy()
    assert PICTURE[:24] not in on_disk(directory)
    assert store.undo() is None


def test_only_the_latest_steps_can_be_undone(store: TeachingStore) -> None:
    for number in range(25):
        store.add_example(example(f"e{number}", moments=[StoredMoment(0, vectors(number))]))
    undone = 0
    while store.undo() is not None:
        undone += 1
    assert (undone, len(store.examples())) == (20, 5)

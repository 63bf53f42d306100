"""The history: events are kept with their files, found again, marked and deleted, and the oldest go first."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.core.errors import HistoryError
from daemon.history import quota
from daemon.history.event_json import event_json
from daemon.history.reader import HistoryReader
from daemon.history.records import Day, Quota
from daemon.history.rows import day_of
from daemon.history.schema import ROW_BYTES
from daemon.history.store import HistoryStore
from tests.history.kept import BEGAN_S, Clocks, agreement, ended, ids, keep_whole, kept_event, opened, write_parts


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history"


@pytest.fixture
def store(directory: Path) -> Iterator[HistoryStore]:
    yield from opened(directory)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "clips").iterdir())


def test_an_event_is_found_as_it_was_kept(store: HistoryStore, directory: Path) -> None:
    done = keep_whole(store, kept_event())
    store.commit()
    with HistoryReader(directory) as reader:
        assert reader.event("e1") == done
        assert reader.events() == [done]
        assert (reader.streams(), reader.labels()) == (["kitchen"], ["kettle boils"])
        assert reader.days() == [Day(day_of(BEGAN_S), 1, 0)]
        for which, content in (("snapshot", b"jpeg"), ("clip", b"film")):
            descriptor = reader.open_file("e1", which)  # type: ignore[arg-type]
            with os.fdopen(descriptor, "rb") as file:
                assert file.read() == content
                assert not os.get_inheritable(descriptor)
        assert reader.usage().size_bytes == ROW_BYTES + 8
    assert agreement(directory) == []
    assert {path.stat().st_mode & 0o777 for path in (directory, directory / "clips")} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in directory.rglob("*.*")} == {0o600}


def test_the_json_of_an_event(store: HistoryStore, directory: Path) -> None:
    done = keep_whole(store, kept_event())
    assert event_json(done) == {
        "id": "e1",
        "number": 1,
        "stream": "kitchen",
        "label": "kettle boils",
        "bundle": "home@1.0.0",
        "started": "2023-11-14T22:13:20.000000Z",
        "ended": "2023-11-14T22:13:22.000000Z",
        "ended_by": "absent",
        "peak": 0.75,
        "peak_time": "2023-11-14T22:13:21.000000Z",
        "shares": {"image": 0.25, "audio": 0.75},
        "kept": False,
        "verdict": None,
        "was": None,
        "snapshot": {"bytes": 4},
        "clip": {
            "bytes": 4,
            "video": "h264",
            "audio": "aac",
            "begins": "2023-11-14T22:13:15.000000Z",
            "duration_s": 12.5,
            "is_cut": False,
        },
    }
    opened_json = event_json(kept_event())
    assert [opened_json[key] for key in ("ended", "ended_by", "snapshot", "clip")] == [None] * 4


def test_nobody_sees_what_is_not_committed(store: HistoryStore, directory: Path) -> None:
    paths = store.begin(kept_event())
    write_parts(paths)
    assert ids(directory) == []
    store.commit()
    assert ids(directory) == ["e1"]
    store.finish(ended(kept_event()))
    with HistoryReader(directory) as reader:
        assert reader.event("e1").ended_by is None
        with pytest.raises(HistoryError, match="has no clip"):
            reader.open_file("e1", "clip")
    assert names(directory) == ["1.jpg.part", "1.mp4.part"]
    store.commit()
    assert names(directory) == ["1.jpg", "1.mp4"]


def test_an_event_without_files_has_none(store: HistoryStore, directory: Path) -> None:
    write_parts(store.begin(kept_event()))
    store.finish(ended(kept_event(), snapshot=None, clip=None))  # its clip is not to be kept after all
    store.begin(kept_event("e2"))
    store.finish(ended(kept_event("e2")))  # what was to be there is not
    store.commit()
    assert names(directory) == []
    assert agreement(directory) == []
    with HistoryReader(directory) as reader:
        assert [(event.snapshot_bytes, event.clip) for event in reader.events()] == [(None, None)] * 2


def test_pages_and_filters(store: HistoryStore, directory: Path) -> None:
    for number in range(12):
        label, stream = ("bell", "door") if number % 3 == 0 else ("kettle boils", "kitchen")
        keep_whole(store, kept_event(f"e{number}", BEGAN_S + number * 43_200, label=label, stream=stream))
    store.commit()
    with HistoryReader(directory) as reader:
        first = reader.events(limit=5)
        assert [event.id for event in first] == ["e11", "e10", "e9", "e8", "e7"]
        assert [event.id for event in reader.events(before=first[-1].number, limit=3)] == ["e6", "e5", "e4"]
        assert [event.id for event in reader.events(label="bell")] == ["e9", "e6", "e3", "e0"]
        assert [event.id for event in reader.events(stream="door", before=7)] == ["e3", "e0"]
        day = day_of(BEGAN_S + 9 * 43_200)
        assert [event.id for event in reader.events(day=day, label="bell", stream="door")] == ["e9"]
        assert reader.events(day=day, label="bell", stream="kitchen") == []
        assert (reader.labels(), reader.streams()) == (["bell", "kettle boils"], ["door", "kitchen"])
        assert sum(each.events for each in reader.days()) == 12
        assert [each.day for each in reader.days()] == sorted((each.day for each in reader.days()), reverse=True)
        assert (reader.beginning("e1"), reader.beginning("e9"), reader.beginning("f")) == (["e1", "e10"], ["e9"], [])


def test_what_a_person_says_stays_when_the_event_ends(store: HistoryStore, directory: Path) -> None:
    write_parts(store.begin(kept_event()))
    store.keep("e1", True)
    store.judge("e1", "was", "bell")
    store.commit()
    store.finish(ended(kept_event()))
    store.commit()
    with HistoryReader(directory) as reader:
        event = reader.event("e1")
        assert (event.kept, event.verdict, event.was, event.ended_by) == (True, "was", "bell", "absent")
        assert reader.days()[0].kept == 1
    store.keep("e1", False)
    store.judge("e1", None)
    store.commit()
    with HistoryReader(directory) as reader:
        assert (reader.event("e1").kept, reader.event("e1").verdict, reader.event("e1").was) == (False, None, None)


def test_a_deleted_event_is_gone_with_its_files_and_its_bytes(store: HistoryStore, directory: Path) -> None:
    secret = "a label that nobody shall read again"
    keep_whole(store, kept_event(label=secret))
    keep_whole(store, kept_event("e2"))
    store.commit()
    assert _has_bytes(directory, secret)
    store.delete("e1")
    store.commit()
    assert (ids(directory), names(directory)) == (["e2"], ["2.jpg", "2.mp4"])
    assert not _has_bytes(directory, secret)
    assert agreement(directory) == []


def _has_bytes(directory: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in directory.glob("history.db*"))


def test_an_open_event_can_be_deleted(store: HistoryStore, directory: Path) -> None:
    for name in ("e1", "e2"):
        write_parts(store.begin(kept_event(name)))
    store.commit()
    write_parts(store.begin(kept_event("e3")))
    for name in ("e1", "e3"):  # one that is on disk, and one that is not yet
        store.delete(name)
        with pytest.raises(HistoryError, match="is not open"):
            store.finish(ended(kept_event(name)))
    store.commit()
    assert (ids(directory), names(directory)) == (["e2"], ["2.jpg.part", "2.mp4.part"])
    store.finish(ended(kept_event("e2")))
    store.delete("e2")
    store.commit()
    assert (ids(directory), names(directory)) == ([], [])


UNKNOWN: dict[str, Callable[[HistoryStore], object]] = {
    "keep": lambda store: store.keep("e9", True),
    "judge": lambda store: store.judge("e9", "right"),
    "delete": lambda store: store.delete("e9"),
    "finish": lambda store: store.finish(ended(kept_event("e9"))),
    "begin": lambda store: store.begin(kept_event("e1")),
    "id": lambda store: store.begin(kept_event("../e1")),
    "label": lambda store: store.begin(kept_event("e9", label="")),
    "time": lambda store: store.begin(kept_event("e9", started_s=1e300)),
    "peak": lambda store: store.begin(kept_event("e9", peak=float("nan"))),
}


@pytest.mark.parametrize("act", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_no_event_of_the_history_is_refused(
    store: HistoryStore, directory: Path, act: Callable[[HistoryStore], object]
) -> None:
    keep_whole(store, kept_event())
    store.commit()
    with pytest.raises(HistoryError) as refused:
        act(store)
    assert refused.value.kind == "unknown"
    store.commit()
    assert ids(directory) == ["e1"]


def test_numbers_are_never_used_again(store: HistoryStore, directory: Path) -> None:
    keep_whole(store, kept_event())
    store.commit()
    store.delete("e1")
    store.commit()
    store.close()
    again = HistoryStore(directory)
    assert again.begin(kept_event("e2")).number == 2
    again.close()


def test_the_oldest_events_go_when_there_are_too_many_bytes(directory: Path) -> None:
    store = HistoryStore(directory, Quota(10 * (ROW_BYTES + 1000), 1e9))
    for number in range(14):
        keep_whole(store, kept_event(f"e{number}"), clip=bytes(1000), snapshot=None)
        if number in (1, 3):
            store.keep(f"e{number}", True)
        store.commit()
    write_parts(store.begin(kept_event("open")))
    store.commit()
    assert store.tidy() == 5
    store.commit()
    assert ids(directory) == ["open", *(f"e{number}" for number in (13, 12, 11, 10, 9, 8, 7, 3, 1))]
    assert store.tidy() == 0
    assert store.usage().size_bytes <= 10 * (ROW_BYTES + 1000)
    store.finish(ended(kept_event("open"), clip=None))
    store.commit()
    assert agreement(directory) == []
    store.close()


def test_nothing_more_is_kept_when_the_events_that_stay_fill_the_quota(directory: Path) -> None:
    store = HistoryStore(directory, Quota(10_000, 1e9))
    for number in range(9):
        keep_whole(store, kept_event(f"e{number}"), clip=bytes(500), snapshot=None)
        store.keep(f"e{number}", True)
    store.commit()
    assert store.tidy() == 0
    with pytest.raises(HistoryError, match="the 9 events that stay until somebody deletes them") as refused:
        store.begin(kept_event("e9"))
    assert refused.value.kind == "limit"
    assert quota.limit_problem(store.usage(), 10_000) == str(refused.value)
    store.keep("e0", False)
    store.commit()
    store.begin(kept_event("e9"))
    store.close()


class Aged:
    """A store whose clocks a test sets, and which it can start again."""

    def __init__(self, directory: Path) -> None:
        self._directory, self.clocks = directory, Clocks()
        self.start()

    def start(self) -> None:
        self.store = HistoryStore(self._directory, Quota(10**9, 1000.0), now=self.clocks.now, now_ns=self.clocks.now_ns)

    def keep(self, name: str) -> None:
        keep_whole(self.store, kept_event(name, self.clocks.wall_s))
        self.store.commit()

    def left(self) -> list[str]:
        self.store.tidy()
        self.store.commit()
        return ids(self._directory)


@pytest.fixture
def aged(directory: Path) -> Iterator[Aged]:
    made = Aged(directory)
    yield made
    made.store.close()


YEAR_S = 365 * 86_400.0


def test_events_go_when_they_are_too_old(aged: Aged) -> None:
    aged.keep("e1")
    aged.clocks.pass_s(600)
    aged.keep("e2")
    aged.clocks.pass_s(399)
    assert aged.left() == ["e2", "e1"]
    aged.clocks.pass_s(2)
    assert aged.left() == ["e2"]
    aged.store.close()
    aged.clocks.pass_s(600)  # the node is off meanwhile
    aged.start()
    assert aged.left() == []


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
def test_a_clock_that_jumps_deletes_nothing_and_saves_nothing(aged: Aged, jump_s: float) -> None:
    aged.keep("e1")
    aged.clocks.wall_s += jump_s
    aged.keep("e2")
    assert aged.left() == ["e2", "e1"], "in the order in which they began"
    aged.clocks.pass_s(900)
    aged.clocks.wall_s -= jump_s
    aged.keep("e3")
    assert aged.left() == ["e3", "e2", "e1"]
    aged.clocks.pass_s(101)
    assert aged.left() == ["e3"]
    aged.clocks.pass_s(900)
    assert aged.left() == []


def test_a_start_with_a_clock_that_is_late_deletes_nothing(aged: Aged) -> None:
    aged.keep("e1")
    aged.store.close()
    aged.clocks.wall_s -= YEAR_S  # a board without a battery
    aged.start()
    aged.keep("e2")
    aged.clocks.wall_s += YEAR_S  # the network is there
    aged.clocks.pass_s(10)
    assert aged.left() == ["e2", "e1"]
    aged.store.close()
    aged.start()
    assert aged.left() == ["e2", "e1"]
    aged.clocks.pass_s(995)
    assert aged.left() == []


def test_days_are_those_of_the_place(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert day_of(BEGAN_S) == "2023-11-15"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_an_event_has_ended_while_its_clip_goes_on(store: HistoryStore, directory: Path) -> None:
    paths = store.begin(kept_event())
    write_parts(paths)
    store.finish(ended(kept_event(), clip=None), clip_follows=True)
    store.commit()
    with HistoryReader(directory) as reader:
        found = reader.event("e1")
        assert (found.ended_by, found.snapshot_bytes, found.clip) == ("absent", 4, None)
    assert names(directory) == ["1.jpg", "1.mp4.part"]
    done = ended(kept_event())
    store.finish(done)
    store.commit()
    with HistoryReader(directory) as reader:
        assert reader.event("e1") == replace(done, number=1)
    assert names(directory) == ["1.jpg", "1.mp4"]
    assert agreement(directory) == []


def test_a_clip_that_goes_on_is_gone_after_a_power_cut_and_when_its_event_is_deleted(directory: Path) -> None:
    first = HistoryStore(directory)
    for name in ("cut", "deleted"):
        write_parts(first.begin(kept_event(name)))
        first.finish(ended(kept_event(name), clip=None), clip_follows=True)
    first.commit()
    first.delete("deleted")
    first.commit()
    with pytest.raises(HistoryError) as refused:
        first.finish(ended(kept_event("deleted")))
    assert refused.value.kind == "unknown"
    assert names(directory) == ["1.jpg", "1.mp4.part"]
    first.close()
    HistoryStore(directory).close()
    assert names(directory) == ["1.jpg"]
    assert agreement(directory) == []

"""The days of the history, where the clock is put forward or back an hour within one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.history.eraser import HistoryEraser
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent
from daemon.history.store import HistoryStore

HALF_HOUR_S = 1800
# two days before the switch, the day of it, and one after
DAYS = 4

SWITCHES = [
    ("Europe/Berlin", "2026-03-29", 23),
    ("Europe/Berlin", "2026-10-25", 25),
    ("Asia/Beirut", "2026-03-29", 23),  # at midnight: the day begins at one o'clock
    ("America/Havana", "2026-11-01", 25),  # at one o'clock: midnight comes twice
]


@contextmanager
def time_zone(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(("zone", "day", "hours"), SWITCHES)
def test_a_day_has_the_events_of_all_its_hours(
    zone: str, day: str, hours: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = datetime.fromisoformat(day)
    begins_s = switch.replace(day=switch.day - 2 if switch.day > 2 else 1, tzinfo=ZoneInfo(zone)).timestamp()
    numbers = count()
    with time_zone(zone, monkeypatch):
        store = HistoryStore(tmp_path / "history")
        for _ in range(DAYS * 48):
            number = next(numbers)
            at_s = begins_s + number * HALF_HOUR_S
            store.begin(KeptEvent(f"e{number}", "hall", "dog", "home@1.0.0", at_s, at_s, 0.9, {"audio": 1.0}))
        store.commit()
        with HistoryReader(tmp_path / "history") as reader:
            days = reader.days()
            found = {each.day: each.events for each in days}
            assert found[day] == hours * 2
            assert sum(found.values()) == DAYS * 48
            assert list(found) == sorted(found, reverse=True)
            of_day = reader.events(day=day, limit=100)
            assert [event.started_s for event in of_day] == sorted((e.started_s for e in of_day), reverse=True)
            assert len(of_day) == found[day]
        with HistoryEraser(tmp_path / "history") as eraser:
            assert sum(eraser.delete_before(day)) == sum(events for each, events in found.items() if each < day)
        store.close()

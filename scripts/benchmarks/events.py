"""Measures the history with very many events: opening it, the first list, filters, one more event, and deletions."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from daemon.history.eraser import HistoryEraser
from daemon.history.reader import HistoryReader
from daemon.history.records import Clip, KeptEvent, Quota
from daemon.history.store import HistoryStore

EVENTS, A_DAY = 100_000, 1000
DAY_S = 86_400.0
LABELS, STREAMS = 40, 4
BATCH = 1000

Result = TypeVar("Result")


def main() -> None:
    """Print each figure; the first list is in under 300 ms on a Raspberry Pi too, if it is far below that here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N", help=f"default: {EVENTS}")
    count = parser.parse_args().events
    # in memory: the disk would take minutes to make the files
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        directory = Path(place) / "history"
        store = HistoryStore(directory, Quota(10**12, 1e9))
        _timed(f"keep {count} events with two small files each", lambda: _keep(store, count))
        store.close()
        print(f"the index has {(directory / 'history.db').stat().st_size / count:.0f} bytes for each event")
        _measure_reading(directory, count)
        store = _timed("open the store, where index and files are compared", lambda: HistoryStore(directory))
        _timed("one more event", lambda: _keep(store, 1, count))
        with HistoryEraser(directory) as eraser:
            _timed("delete half of them", lambda: sum(eraser.delete_before(_day(count // 2))))
        store.close()


def _measure_reading(directory: Path, count: int) -> None:
    _timed("the first list, with opening", lambda: _read(directory, lambda reader: reader.events()))
    _timed("the days, streams and labels", lambda: _read(directory, _facets))
    middle = count // 2
    for title, read in (
        ("a page in the middle", lambda reader: reader.events(before=middle)),
        ("a day", lambda reader: reader.events(day=_day(middle))),
        ("a label", lambda reader: reader.events(label="label 7")),
        ("a label that a stream never has", lambda reader: reader.events(label="label 7", stream="stream 0")),
        ("one event by its id", lambda reader: reader.event(f"event{middle}")),
    ):
        _timed(title, lambda read=read: _read(directory, read))


def _timed(title: str, work: Callable[[], Result]) -> Result:
    begun = time.perf_counter()
    result = work()
    print(f"{(time.perf_counter() - begun) * 1000:9.1f} ms  {title}", flush=True)
    return result


def _read(directory: Path, read: Callable[[HistoryReader], Result]) -> Result:
    with HistoryReader(directory) as reader:
        return read(reader)


def _facets(reader: HistoryReader) -> object:
    return reader.days(), reader.streams(), reader.labels(), reader.usage()


def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(1.7e9 + number * DAY_S / A_DAY))


def _keep(store: HistoryStore, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        begun_s = 1.7e9 + number * DAY_S / A_DAY
        label, stream = f"label {number % LABELS}", f"stream {number % STREAMS}"
        event = KeptEvent(f"event{number}", stream, label, "home@1.0.0", begun_s, begun_s + 1, 0.5, {"image": 1.0})
        paths = store.begin(event)
        paths.clip.write_bytes(b"c")
        paths.snapshot.write_bytes(b"s")
        clip = Clip(1, "h264", "aac", begun_s - 5, 12.0)
        store.finish(_ended(event, clip))
        if number % BATCH == BATCH - 1:
            store.commit()
    store.commit()


def _ended(event: KeptEvent, clip: Clip) -> KeptEvent:
    return KeptEvent(
        *(event.id, event.stream, event.label, event.bundle, event.started_s, event.peak_s, event.peak, event.shares),
        ended_s=event.started_s + 3,
        ended_by="absent",
        snapshot_bytes=1,
        clip=clip,
    )


if __name__ == "__main__":
    main()

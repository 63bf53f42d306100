"""Events for tests of the history, and a store that writes them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from daemon.core.timing import NS_PER_S
from daemon.history.reader import HistoryReader
from daemon.history.records import Clip, KeptEvent, Paths, Quota
from daemon.history.store import HistoryStore

BEGAN_S = 1_700_000_000.0
LARGE = Quota(1_000_000_000, 14 * 86_400.0)


def kept_event(id: str = "e1", started_s: float = BEGAN_S, **changes: object) -> KeptEvent:  # noqa: A002
    """An event that has begun."""
    known: dict[str, object] = {
        "id": id,
        "stream": "kitchen",
        "label": "kettle boils",
        "bundle": "home@1.0.0",
        "started_s": started_s,
        "peak_s": started_s + 1,
        "peak": 0.75,
        "shares": {"image": 0.25, "audio": 0.75},
    }
    return KeptEvent(**(known | changes))  # type: ignore[arg-type]


def ended(event: KeptEvent, snapshot: bytes | None = b"jpeg", clip: bytes | None = b"film") -> KeptEvent:
    """The same when it has ended, with files of these contents."""
    film = None if clip is None else Clip(len(clip), "h264", "aac", event.started_s - 5, 12.5)
    size = None if snapshot is None else len(snapshot)
    return replace(event, ended_s=event.started_s + 2, ended_by="absent", snapshot_bytes=size, clip=film)


def write_parts(paths: Paths, snapshot: bytes | None = b"jpeg", clip: bytes | None = b"film") -> None:
    for path, content in ((paths.snapshot, snapshot), (paths.clip, clip)):
        if content is not None:
            path.write_bytes(content)


def keep_whole(
    store: HistoryStore, event: KeptEvent, snapshot: bytes | None = b"jpeg", clip: bytes | None = b"film"
) -> KeptEvent:
    """Begin and finish an event; return it as it was finished. It is on disk after a commit."""
    paths = store.begin(event)
    write_parts(paths, snapshot, clip)
    done = replace(ended(event, snapshot, clip), number=paths.number)
    store.finish(done)
    return done


@dataclass
class Clocks:
    """A wall clock and a monotonic one, which a test sets."""

    wall_s: float = BEGAN_S
    passed_s: float = 0.0

    def now(self) -> float:
        return self.wall_s

    def now_ns(self) -> int:
        return round(self.passed_s * NS_PER_S)

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.passed_s += seconds


def agreement(directory: Path) -> list[str]:
    """What index and files disagree about, after all has been written; nothing when they agree."""
    problems = []
    with HistoryReader(directory) as reader:
        known = set[str]()
        for event in reader.events(limit=1000):
            for which, size, ending in (
                ("snapshot", event.snapshot_bytes, "jpg"),
                ("clip", None if event.clip is None else event.clip.size_bytes, "mp4"),
            ):
                name = f"{event.number}.{ending}"
                path = directory / "clips" / name
                if size is not None:
                    known.add(name)
                    if not path.exists() or path.stat().st_size != size:
                        problems.append(f"{event.id} has no {which} of {size} bytes")
        usage = reader.usage()
        counted = [event.number for event in reader.events(limit=1000)]
    present = {path.name for path in (directory / "clips").iterdir()}
    problems += [f"{name} belongs to no event" for name in sorted(present - known)]
    if usage.events != len(counted):
        problems.append(f"{usage.events} events are counted, there are {len(counted)}")
    return problems


def ids(directory: Path) -> list[str]:
    with HistoryReader(directory) as reader:
        return [event.id for event in reader.events(limit=1000)]


def opened(directory: Path, quota: Quota | None = LARGE, clocks: Clocks | None = None) -> Iterator[HistoryStore]:
    """A store that is closed at the end, for fixtures."""
    clocks = clocks or Clocks()
    store = HistoryStore(directory, quota, now=clocks.now, now_ns=clocks.now_ns)
    yield store
    store.close()

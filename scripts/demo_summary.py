"""The summary of the demo: what was captured and recognised, and what it cost."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import yaml
from clip_score import EventStart, Passage, Score, score
from demo_processes import Daemon
from demo_viewer import Viewer, epoch_s

from daemon.config.node import Config
from daemon.core.text import clean
from daemon.mqtt.payloads import EventPayload

MAX_LISTED = 5


def summary(config: Config, viewer: Viewer, daemon: Daemon) -> Iterator[str]:
    """The lines of the summary."""
    yield ""
    for name, stream in viewer.health.get("streams", {}).items():
        for modality, counts in stream["inputs"].items():
            things = {"image": "frames", "audio": "blocks", "text": "lines"}[modality]
            dropped = ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items()) or "none"
            yield f"{name:<8} {counts['captured']:6} {things} captured, {counts['encoded']} encoded, dropped: {dropped}"
        yield f"{name:<8} {stream['recognitions']:6} recognitions, {stream['events']} event messages"
    if viewer.first_recognition is not None:
        yield f"first recognition: {viewer.first_recognition - daemon.started:.1f} s after the start of the daemon"
    if viewer.latencies_ms:
        ordered = sorted(viewer.latencies_ms)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
        yield f"latency from capture to subscriber: p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(ordered)} recognitions)"
    if daemon.uptime_s:
        yield f"processor time: {daemon.cpu_s / daemon.uptime_s:.3f} s per second"
        yield f"peak memory (PSS): {daemon.peak_pss_mb:.0f} MB"
    clip = _clip_of_digits(config)
    if clip is None or viewer.began is None:
        yield from event_lines(viewer.events.values())
    else:
        yield from _digits(clip, viewer, viewer.began)


def event_lines(events: Iterable[EventPayload]) -> Iterator[str]:
    """Yield a line for each label that had events, the most frequent first. `events` has one message of each event."""
    by_label: dict[str, list[EventPayload]] = defaultdict(list)
    for event in events:
        by_label[event.label].append(event)
    if not by_label:
        yield "no events"
    for label, found in sorted(by_label.items(), key=lambda item: (-len(item[1]), item[0])):
        seconds, peak = sum(event.duration_s for event in found), max(event.peak for event in found)
        number = "1 event" if len(found) == 1 else f"{len(found)} events"
        yield f"{clean(label)}: {number}, {seconds:.1f} s in all, the highest score {peak:.2f}"


def _clip_of_digits(config: Config) -> Path | None:
    """Return the recording of the first stream, if a list of its digits lies beside it."""
    replay = next(iter(config.streams.values())).replay
    return Path(replay.file) if replay is not None and _truth(Path(replay.file)).is_file() else None


def _truth(clip: Path) -> Path:
    return clip.with_suffix(".truth.yaml")


def _digits(clip: Path, viewer: Viewer, began: float) -> Iterator[str]:
    """How many digits of the recording were recognised."""
    passages = [_passage(row) for row in yaml.safe_load(_truth(clip).read_text())["passages"]]
    with av.open(str(clip)) as container:
        clip_s = container.duration / av.time_base
    events = [EventStart(epoch_s(event.started) - began, event.label) for event in viewer.events.values()]
    result = score(passages, clip_s, time.time() - began, events)
    yield from _score_lines(result)


def _passage(row: dict) -> Passage:
    contradicts = row["kind"] == "contradiction"
    claims = frozenset(row[sense] for sense in ("image", "audio", "text") if row[sense]) if contradicts else frozenset()
    return Passage(row["start_s"], row["end_s"], row["kind"], row["label"], claims)


def _score_lines(result: Score) -> Iterator[str]:
    names = {"both": "picture and sound", "image": "picture", "audio": "sound", "text": "text"}
    if not result.shown:
        yield "digits recognised: the run was too short, no digit was shown completely"
        return
    parts = ", ".join(
        f"{names.get(kind, kind)} {result.recognised[kind]} of {count}" for kind, count in result.shown.items()
    )
    yield f"digits recognised: {result.recognised.total()} of {result.shown.total()} ({parts})"
    if result.contradicted:
        yield f"events while picture and sound contradict each other: {_events(result.contradicted)}"
    if result.unfounded:
        yield f"events without a digit in the recording (your own texts cause such events): {_events(result.unfounded)}"


def _events(events: list[EventStart]) -> str:
    listed = ", ".join(f"{event.label} at {event.at_s:.1f} s" for event in events[:MAX_LISTED])
    return listed + (f" and {len(events) - MAX_LISTED} more" if len(events) > MAX_LISTED else "")

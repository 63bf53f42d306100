"""`perceptd history list` and `show`: the events that a node of this machine has kept."""

import argparse
import json
import time

from daemon.cli.history_state import PAGE, event_of, reading
from daemon.cli.node_state import node_state
from daemon.config.node import HISTORY
from daemon.core.text import clean
from daemon.history.event_json import event_json
from daemon.history.files import CLIPS, file_of
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent

SHOWN_ID = 8

VERDICTS = {"right": "right", "wrong": "wrong", "was": "was {}"}


def history(options: argparse.Namespace) -> int:
    """Execute one action."""
    if options.action == "list":
        return list_events(options)
    if options.action == "show":
        return show(options)
    if options.action == "export":
        from daemon.cli.history_export import export

        return export(options)
    from daemon.cli.history_delete import delete

    return delete(options)


def list_events(options: argparse.Namespace) -> int:
    """Print the latest events."""
    with reading(node_state(options)) as reader:
        events, more = _latest(reader, options)
        usage = reader.usage()
    if options.json:
        print(json.dumps({"events": [event_json(event) for event in events], "more": more}, ensure_ascii=False))
        return 0
    for event in events:
        print(line(event))
    if not events:
        print("no event" if usage.events == 0 else f"no such event; {usage.events} others are kept")
    elif more:
        print(f"these are the latest {len(events)}; --limit shows more")
    return 0


def _latest(reader: HistoryReader, options: argparse.Namespace) -> tuple[list[KeptEvent], bool]:
    """Return as many events as the options want, and whether there are more."""
    found: list[KeptEvent] = []
    while len(found) <= options.limit:
        page = reader.events(
            day=options.day,
            stream=options.stream,
            label=options.label,
            before=found[-1].number if found else None,
            limit=min(PAGE, options.limit + 1 - len(found)),
        )
        if not page:
            break
        found += page
    return found[: options.limit], len(found) > options.limit


def line(event: KeptEvent) -> str:
    """Return an event as a line of the list."""
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.started_s))
    parts = [f"{event.peak:.0%}", _length(event), *_files(event), *_remarks(event)]
    return f"{started}  {clean(event.stream)}  {clean(event.label)}  {', '.join(parts)}  {event.id[:SHOWN_ID]}"


def _length(event: KeptEvent) -> str:
    return "open" if event.ended_s is None else f"{max(0.0, event.ended_s - event.started_s):.0f} s"


def _files(event: KeptEvent) -> list[str]:
    found = [] if event.snapshot_bytes is None else ["picture"]
    if event.clip is not None:
        found.append(f"clip of {event.clip.duration_s:.0f} s")
    return found


def _remarks(event: KeptEvent) -> list[str]:
    found = ["stays"] if event.kept else []
    if event.verdict is not None:
        found.append(VERDICTS[event.verdict].format(clean(event.was or "")))
    return found


def show(options: argparse.Namespace) -> int:
    """Print all of one event."""
    state = node_state(options)
    with reading(state) as reader:
        event = event_of(reader, options.event)
    if options.json:
        print(json.dumps(event_json(event), ensure_ascii=False))
        return 0
    print(line(event))
    print(f"  id: {event.id}")
    print(f"  bundle: {clean(event.bundle)}")
    if event.shares:
        print("  by " + ", ".join(f"{sense} {share:.0%}" for sense, share in event.shares.items()))
    if event.ended_by is not None:
        print(f"  ended by: {event.ended_by}")
    clips = state.directory / HISTORY / CLIPS
    if event.snapshot_bytes is not None:
        print(f"  picture: {file_of(clips, event.number, 'snapshot')}, {event.snapshot_bytes} bytes")
    if (clip := event.clip) is not None:
        coded = " and ".join(filter(None, (clip.video, clip.audio)))
        cut = "; something within it was lost" if clip.is_cut else ""
        print(f"  clip: {file_of(clips, event.number, 'clip')}, {clip.size_bytes} bytes, {coded}{cut}")
    return 0

"""`perceptd history delete`: events with their pictures and clips, for good."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator

from daemon.cli.history_state import erasing, event_of, reading
from daemon.cli.node_state import NodeState, node_state
from daemon.cli.teach_text import counted
from daemon.core.errors import Refused
from daemon.core.status_line import StatusLine
from daemon.history.eraser import HistoryEraser


def delete(options: argparse.Namespace) -> int:
    """Delete the events of the options, once somebody has agreed; return 1 if nobody has."""
    if sum((bool(options.events), options.before is not None, options.all)) != 1:
        raise Refused("name the events to delete by their ids, or give --before DAY, or --all")
    state = node_state(options)
    ids, count, question = _wanted(options, state)
    if count and not options.yes and not _agreed(question):
        print("nothing was deleted", file=sys.stderr)
        return 1
    with erasing(state) as eraser:
        done = _delete(_steps(options, eraser, ids), count)
        eraser.empty_journal()
    print(json.dumps({"deleted": done}) if options.json else f"deleted {counted(done, 'event')}")
    return 0


def _wanted(options: argparse.Namespace, state: NodeState) -> tuple[list[str], int, str]:
    """Return the ids that were named, how many events go, and what to ask."""
    with reading(state) as reader:
        if options.events:
            events = {event.id: event for event in (event_of(reader, shown) for shown in options.events)}
            kept = sum(event.kept for event in events.values())
            return list(events), len(events), _question(len(events), kept, "")
        usage = reader.usage()
        if options.all:
            return [], usage.events, _question(usage.events, usage.kept_events, "all ")
        days = [day for day in reader.days() if day.day < options.before]
    count = sum(day.events - day.kept for day in days)
    return [], count, _question(count, 0, f"the days before {options.before}, ")


def _question(count: int, kept: int, what: str) -> str:
    stay = f", {kept} of them marked to stay" if kept else ""
    return f"delete {what}{counted(count, 'event')}{stay}, with pictures and clips? Nothing brings them back [y/N] "


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Refused("nobody can be asked here; --yes deletes without a question")
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _steps(options: argparse.Namespace, eraser: HistoryEraser, ids: list[str]) -> Iterator[int]:
    if options.all:
        return eraser.delete_all()
    return eraser.delete_before(options.before) if options.before is not None else eraser.delete(ids)


def _delete(steps: Iterable[int], count: int) -> int:
    done = 0
    with StatusLine() as status:
        for step in steps:
            done += step
            status.show(f"{done} of {count} deleted")
    return done

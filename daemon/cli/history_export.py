"""`perceptd history export`: pictures and clips of events as files."""

import argparse
import json
import os
import shutil
from pathlib import Path

from daemon.cli.history_state import event_of, events_of_day, reading
from daemon.cli.node_state import node_state
from daemon.cli.ownership import give_to_caller
from daemon.cli.teach_text import counted
from daemon.core.errors import HistoryError, Refused
from daemon.core.status_line import StatusLine
from daemon.history.event_json import event_json
from daemon.history.files import Which
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent

NAMES: dict[Which, str] = {"snapshot": "snapshot.jpg", "clip": "clip.mp4"}


def export(options: argparse.Namespace) -> int:
    """Write the events of the options; return 1 if a file of one of them cannot be read."""
    if bool(options.events) == (options.day is not None):
        raise Refused("name the events to export by their ids, or a day by --day")
    problems: list[str] = []
    with reading(node_state(options)) as reader:
        if options.day is not None:
            events = events_of_day(reader, options.day)
        else:
            events = [event_of(reader, shown) for shown in options.events]
        try:
            _make(options.out)
            with StatusLine() as status:
                for number, event in enumerate(events, start=1):
                    status.show(f"event {number} of {len(events)}")
                    problems += write_event(reader, event, options.out / event.id)
        except OSError as error:
            raise Refused(f"{error.filename or options.out}: {error.strerror}") from error
    if options.json:
        ids = [event.id for event in events]
        print(json.dumps({"directory": str(options.out), "events": ids, "problems": problems}, ensure_ascii=False))
    else:
        print("\n".join([*problems, f"{counted(len(events), 'event')}: {options.out}. They hold pictures and sound"]))
    return 1 if problems else 0


def write_event(reader: HistoryReader, event: KeptEvent, directory: Path) -> list[str]:
    """Write an event into a new directory; return what cannot be read, in words. Raises OSError and Refused."""
    if os.path.lexists(directory):
        raise Refused(f"{directory}: is there already; name a new directory")
    _make(directory)
    problems = []
    for which, name in NAMES.items():
        if (event.snapshot_bytes if which == "snapshot" else event.clip) is None:
            continue
        try:
            descriptor = reader.open_file(event.id, which)
        except HistoryError as error:
            problems.append(str(error))
            continue
        with os.fdopen(descriptor, "rb") as source, (directory / name).open("xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        give_to_caller(directory / name)
    about = directory / "event.json"
    about.write_text(json.dumps(event_json(event), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    give_to_caller(about)
    return problems


def _make(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir(mode=0o700)
        give_to_caller(directory)

"""The arguments of `perceptd history` and its actions."""

import argparse
import re
import textwrap
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import add_config, add_json

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

WIDTH = 100

MAX_LISTED = 100_000

DESCRIPTION = (
    "Shows the events that a node of this machine has kept, with their pictures and clips. It works on the state "
    "directory, whether the node runs or not: on that of the service as root, with sudo. docs/history.md explains it."
)

EXAMPLES = """examples:
  sudo perceptd history list                             the latest events
  sudo perceptd history list --day yesterday --label "kettle boils"
  sudo perceptd history show 3f9a1c7e                    one event, by the beginning of its id
  sudo perceptd history export 3f9a1c7e --out kettle     its picture, clip and times as files
  sudo perceptd history delete --before 2026-11-01       the events of the days before
"""


def add_history(commands: "Commands") -> None:
    """Add `history` and its actions to the commands."""
    history = commands.add_parser(
        "history",
        help="show, export and delete the events that a node has kept",
        description=textwrap.fill(DESCRIPTION, WIDTH),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = history.add_subparsers(required=True, metavar="ACTION")
    _add_list(actions)
    _add_show(actions)
    _add_export(actions)
    _add_delete(actions)


def _add_list(actions: "Commands") -> None:
    listed = _action(
        actions,
        "list",
        "the latest events",
        "Shows the latest events, one on a line: its start, stream, label, peak and length, what was kept of it, and "
        "the beginning of its id.",
        'sudo perceptd history list --day yesterday --label "kettle boils"',
    )
    _add_day(listed, "only events that began on this day")
    listed.add_argument("--stream", metavar="NAME", help="only events of this stream")
    listed.add_argument("--label", metavar="LABEL", help="only events of this label")
    limit = f"show so many at most, up to {MAX_LISTED} (default: 50)"
    listed.add_argument("--limit", type=_limit, default=50, metavar="N", help=limit)


def _add_show(actions: "Commands") -> None:
    text = "Shows all that is known of an event, and where its picture and its clip are."
    show = _action(actions, "show", "all of one event", text, "sudo perceptd history show 3f9a1c7e")
    show.add_argument("event", metavar="ID", help="the id of the event, or its beginning")


def _add_export(actions: "Commands") -> None:
    export = _action(
        actions,
        "export",
        "write pictures and clips of events as files",
        "Writes events into a directory, each into one of its own that has the id as its name: snapshot.jpg, clip.mp4 "
        "and event.json.",
        "sudo perceptd history export --day 2026-11-30 --out saturday",
    )
    export.add_argument("events", nargs="*", metavar="ID", help="the ids of the events, or their beginnings")
    _add_day(export, "all events of this day")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the directory; it is made if need be")


def _add_delete(actions: "Commands") -> None:
    delete = _action(
        actions,
        "delete",
        "delete events with their pictures and clips",
        "Deletes events with their pictures and clips. Nothing brings them back. --before leaves those that somebody "
        "has marked to stay; an id and --all do not. Asks before it deletes, unless --yes is given.",
        "sudo perceptd history delete --before 2026-11-01",
    )
    delete.add_argument("events", nargs="*", metavar="ID", help="the ids of the events, or their beginnings")
    delete.add_argument("--before", type=_day, metavar="DAY", help="all events of the days before this one")
    delete.add_argument("--all", action="store_true", help="all events")
    delete.add_argument("--yes", action="store_true", help="do not ask")


def _add_day(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--day", type=_day, metavar="DAY", help=f"{text}: YYYY-MM-DD, today or yesterday")


def _action(actions: "Commands", name: str, help_text: str, description: str, example: str) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=help_text, description=description, epilog=f"example: {example}")
    add_config(parser)
    add_json(parser)
    parser.set_defaults(execute=_history, action=name)
    return parser


def _history(options: argparse.Namespace) -> int:
    from daemon.cli.history import history

    return history(options)


def _day(text: str) -> str:
    """Return a day as the history has it."""
    if text in ("today", "yesterday"):
        return (date.today() - timedelta(days=text == "yesterday")).isoformat()
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is None:
            raise ValueError(text)
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("expected YYYY-MM-DD, today or yesterday") from None


def _limit(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_LISTED)) else 0
    if not 1 <= number <= MAX_LISTED:
        raise argparse.ArgumentTypeError(f"expected 1 to {MAX_LISTED}")
    return number

"""The history of a node of this machine, for `perceptd history`."""

from collections.abc import Iterator
from contextlib import contextmanager

from daemon.cli.node_state import NodeState, advice
from daemon.cli.ownership import as_owner
from daemon.config.node import HISTORY
from daemon.core.errors import HistoryError, Refused
from daemon.core.text import clean
from daemon.history.eraser import HistoryEraser
from daemon.history.reader import HistoryReader
from daemon.history.records import KeptEvent

# a page of what is read at once
PAGE = 1000


@contextmanager
def reading(state: NodeState) -> Iterator[HistoryReader]:
    """Give a block the history of a node. Raises Refused with what to do, also for errors in the block.

    Root opens the files of the service as its user, so that new ones belong to that user. SQLite gives the files that
    it makes beside the database to the same user.
    """
    with _explained(state):
        with as_owner(state.directory):
            reader = HistoryReader(state.directory / HISTORY)
        with reader:
            yield reader


@contextmanager
def erasing(state: NodeState) -> Iterator[HistoryEraser]:
    """Give a block the history of a node, to delete events. Raises Refused as `reading` does.

    Root deletes as the user of the service: a link in the place of a directory must lead to nothing that only root may
    delete.
    """
    with _explained(state), as_owner(state.directory), HistoryEraser(state.directory / HISTORY) as eraser:
        yield eraser


def event_of(reader: HistoryReader, shown: str) -> KeptEvent:
    """Return the event whose id begins so. Raises Refused where there is none, or more than one."""
    found = reader.beginning(shown)
    if len(found) != 1:
        problem = "there are several; give more of it" if found else "there is none; perceptd history list shows them"
        raise Refused(f"an event whose id begins with {clean(shown)}: {problem}")
    return reader.event(found[0])


def events_of_day(reader: HistoryReader, day: str) -> list[KeptEvent]:
    """Return all events of a day, the latest first."""
    found: list[KeptEvent] = []
    while page := reader.events(day=day, before=found[-1].number if found else None, limit=PAGE):
        found += page
    return found


@contextmanager
def _explained(state: NodeState) -> Iterator[None]:
    try:
        if not state.directory.is_dir():
            raise Refused(f"{state.directory}: there is no such directory; start the node once, with this config")
        yield
    except HistoryError as error:
        off = "\nThe config has `history: null`: no event is kept." if state.config.document.history is None else ""
        raise Refused(f"{error}{advice(state) or (off if error.kind == 'unknown' else '')}") from error
    except PermissionError as error:
        raise Refused(f"{error.filename or state.directory}: {error.strerror}{advice(state)}") from error

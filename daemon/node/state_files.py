"""The files of a node's state directory. Each says its version, or is version 1 by its form."""

from pathlib import Path

from daemon.core.database import database_version
from daemon.core.versions import StateFile, json_version, set_aside_in, set_later_aside, text_version
from daemon.history import schema as history
from daemon.mqtt.home_assistant.ledger import Ledger
from daemon.mqtt.outbox import schema as outbox
from daemon.node import device_id, switches
from daemon.node.fit_record import FitRecord
from daemon.node.history_topics import SnapshotFile
from daemon.teaching import schema as teaching
from daemon.updates.state import UpdateState
from daemon.updates.taught_state import TaughtState

STATE_FILES = (
    # first: a daemon that runs with this directory has it open, so that nothing of it is renamed
    StateFile("outbox.sqlite3", outbox.VERSION, database_version),
    StateFile("device_id", device_id.VERSION, text_version),
    StateFile("switches.json", switches.VERSION, json_version),
    StateFile("snapshots.json", SnapshotFile().version, json_version),
    StateFile("announced.json", Ledger(node="").version, json_version),
    StateFile("history/history.db", history.VERSION, database_version, directory="history"),
    StateFile("teaching/teaching.db", teaching.VERSION, database_version),
    StateFile("teaching/fit.json", FitRecord().version, json_version),
    StateFile("models/state.json", UpdateState().format, json_version),
    StateFile("models/taught/state.json", TaughtState().format, json_version),
)


def set_later_state_aside(state: Path) -> None:
    """Set aside what a later version of perceptd has written. Call it before anything opens the state.

    Raises OSError where the system lacks descriptors for a moment.
    """
    set_later_aside(state, STATE_FILES)


def state_problem(state: Path) -> str | None:
    """Return which files of a later version were set aside and lie there still, in words; None: there are none."""
    found = set_aside_in(state, STATE_FILES)
    return f"set aside, because a later version of perceptd has written them: {', '.join(found)}" if found else None

"""Whether a node was ever taught a label, so that its config may name labels that its bundle does not have."""

from pathlib import Path

from daemon.config.node import Config, fit_record, state_directories, teaching_database
from daemon.core.document import Loaded
from daemon.core.errors import TeachingError
from daemon.teaching.store import TeachingStore


def was_taught(config: Loaded[Config]) -> bool:
    """Return whether the node of a config was ever taught a label; true where that cannot be seen.

    Background alone does not count: each node that can be taught gathers it.
    """
    return any(_was_taught(state) for state in state_directories(config))


def _was_taught(state: Path) -> bool:
    database = teaching_database(state)
    if _may_exist(fit_record(state)):  # it outlives a database that is lost
        return True
    if not _may_exist(database):
        return False
    try:
        store = TeachingStore(database, read_only=True)
        try:
            return store.was_taught()
        finally:
            store.close()
    except TeachingError:
        return True


def _may_exist(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # such as in another user's directory
        pass
    return True

"""The state in memory, and on disk as far as that can be written."""

import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from daemon.core.errors import UpdateError
from daemon.core.files import read_bounded, replace_file
from daemon.updates.state import UpdateState

log = logging.getLogger(__name__)

MOST_BYTES = 4 * 1024 * 1024
"""Far more than a state has: 60 kB for a candidate's files, and as much for offers and refusals."""


class StateFile:
    """The one who changes the state. The updater's thread writes it; any thread may read `state` and `trouble`.

    `trouble` says why the file does not hold the state, and is None while it does. `is_known` says whether the state
    was read, or there was none: else nobody knows what is in the store.
    """

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        """Read what there is; `now_s` is the wall clock."""
        self._path = path
        self._on_change: Callable[[], None] = lambda: None
        self.now_s = now_s
        found = load_or_set_aside(path)
        self.state, self.is_known = found or UpdateState(), found is not None
        self.trouble: str | None = None

    def tell(self, on_change: Callable[[], None]) -> None:
        """Call this after each change from now on."""
        self._on_change = on_change

    def keep(self, state: UpdateState) -> None:
        """Change the state once it is on disk. Raises UpdateError when it cannot be written; nothing has changed then.

        The file may have been replaced even so, where only the last of several steps failed.
        """
        try:
            self._write(state)
        finally:
            self._on_change()

    def note(self, state: UpdateState) -> None:
        """Change the state at once, and on disk as soon as that can be written: see `retry`."""
        self.state = state
        self._try()
        self._on_change()

    def retry(self) -> None:
        """Write what could not be written."""
        if self.trouble is not None and self._try():
            self._on_change()

    def _try(self) -> bool:
        try:
            self._write(self.state)
        except UpdateError:  # said, and shown as trouble
            return False
        return True

    def _write(self, state: UpdateState) -> None:
        try:
            replace_file(self._path, state.model_dump_json().encode())
        except OSError as error:
            trouble = f"{self._path} cannot be written: {error.strerror or error}"
            if trouble != self.trouble:
                log.error("%s", trouble)
            self.trouble = trouble
            raise UpdateError("disk", trouble) from error
        if self.trouble is not None:
            log.info("%s can be written again", self._path)
        self.state = state
        self.trouble = None


def load_or_set_aside(path: Path) -> UpdateState | None:
    """What the file says. One that cannot be read, or makes no sense, is set aside, and nothing is known then.

    Nor is it where one was set aside before, and none was written since.
    """
    if not path.exists() and _aside(path).exists():
        return None
    try:
        return read_state(path)
    except UpdateError as error:
        log.error("%s; the config's own bundle runs", error)
        _set_aside(path)
        return None


def read_state(path: Path) -> UpdateState:
    """What the file says; where there is none, that nothing is known. Raises UpdateError; writes nothing."""
    try:
        return UpdateState.model_validate_json(read_bounded(path, MOST_BYTES))
    except FileNotFoundError:
        return UpdateState()
    except OSError as error:
        raise UpdateError("disk", f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise UpdateError("disk", f"{path} is damaged ({_first_problem(error)})") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _set_aside(path: Path) -> None:
    aside = _aside(path)
    try:
        path.replace(aside)
    except OSError as error:
        log.error("%s cannot be set aside: %s", path, error.strerror or error)
    else:
        log.error("what it held is in %s", aside)


def _aside(path: Path) -> Path:
    return path.with_suffix(".damaged")

"""Reads and writes `state.json`, and holds the update state in memory."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from daemon.core.errors import UpdateError, shortage_behind
from daemon.core.files import read_own, replace_file, set_aside
from daemon.updates.state import UpdateState, without_nonsense

log = logging.getLogger(__name__)

# far more than a state needs: 60 kB for the files of a candidate, and as much for offers and refusals
MAX_STATE_BYTES = 4 * 1024 * 1024


class StateFile:
    """Owns the update state and its file. The updater's thread writes; any thread may read the attributes.

    `trouble` says why the file does not hold the current state; it is None while the file does.
    `is_lost`: a damaged file was set aside, so the state does not tell which bundles on disk are needed.
    """

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        """Read the file, if there is one; `now_s` is the wall clock."""
        self._path = path
        self._listener: Callable[[], None] | None = None
        self.now_s = now_s
        loaded = load_or_set_aside(path)
        self.state, self.is_lost = loaded or UpdateState(), loaded is None
        self.trouble: str | None = None
        self._is_stored = os.path.lexists(path)

    def subscribe(self, listener: Callable[[], None] | None) -> None:
        """Call `listener` after each change from now on, in the thread that writes; None: call nobody."""
        self._listener = listener

    def save(self, state: UpdateState) -> None:
        """Write the state to disk, then make it the current one.

        Raises UpdateError when it cannot be written; the current state stays then.
        Even so the file may have been replaced, if only the last of the steps failed.
        """
        try:
            self._write(state)
        finally:
            self._notify()

    def update(self, state: UpdateState) -> None:
        """Make the state the current one at once, and write it as soon as that is possible: see `retry`."""
        self.state = state
        self._try_to_write()
        self._notify()

    def retry(self) -> None:
        """Write the state if that has failed before, or if somebody has removed the file."""
        if self.trouble is None and self._is_stored and not os.path.lexists(self._path):
            self.trouble = f"{self._path} was removed while the daemon runs"
            log.error("%s: it is written again", self.trouble)
        if self.trouble is not None and self._try_to_write():
            self._notify()

    def _notify(self) -> None:
        if self._listener is not None:
            self._listener()

    def _try_to_write(self) -> bool:
        try:
            self._write(self.state)
        except UpdateError:  # logged, and shown as trouble
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
        self.trouble, self._is_stored = None, True


def load_or_set_aside(path: Path) -> UpdateState | None:
    """The state in the file; None if the state is lost. Raises OSError where the system lacks descriptors for a moment.

    A file that is damaged or cannot be read is renamed. The state then stays lost until another one is written.
    """
    if not os.path.lexists(path) and path.with_suffix(".damaged").exists():
        return None
    try:
        return read_state(path)
    except UpdateError as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        log.error("%s; the bundle of config.yaml runs", error)
        _set_aside(path)
        return None


def read_state(path: Path) -> UpdateState:
    """The state in the file, or an empty one if there is no file. Raises UpdateError; writes nothing.

    A time that no clock can have shown is ignored. With any other wrong value the file counts as damaged.
    """
    try:
        return _parse(path, read_own(path, MAX_STATE_BYTES))
    except FileNotFoundError:
        return UpdateState()
    except OSError as error:
        raise UpdateError("disk", f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise UpdateError("disk", f"{path} is damaged ({_first_problem(error)})") from error


def _parse(path: Path, text: bytes) -> UpdateState:
    """The state. Raises ValidationError."""
    try:
        return UpdateState.model_validate_json(text)
    except ValidationError:
        try:
            document, remarks = without_nonsense(json.loads(text))
        except (ValueError, RecursionError):
            document, remarks = None, []
        if not remarks:
            raise
    state = UpdateState.model_validate_json(json.dumps(document))
    for remark in remarks:
        log.warning("%s: %s", path, remark)
    return state


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _set_aside(path: Path) -> None:
    try:
        aside = set_aside(path)
    except OSError as error:
        log.error("%s cannot be renamed: %s", path, error.strerror or error)
    else:
        log.error("the damaged file is now %s", aside)

"""Reads and writes `state.json` and `taught/state.json`, and holds their content in memory."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from daemon.core.document import StrictModel
from daemon.core.errors import UpdateError, shortage_behind
from daemon.core.files import read_own, replace_file, set_aside
from daemon.core.versions import aside_of, json_version, later_problem
from daemon.updates.state import UpdateState, without_nonsense
from daemon.updates.taught_state import NOTHING_TAUGHT, TaughtState

log = logging.getLogger(__name__)

# far more than a state needs: 60 kB for the files of a candidate, and as much for offers and refusals
MAX_STATE_BYTES = 4 * 1024 * 1024


StateT = TypeVar("StateT", bound=StrictModel)


class JsonFile(Generic[StateT]):
    """Owns a state and its file. The updater's thread writes; any thread may read the attributes.

    `trouble` says why the file does not hold the current state; it is None while the file does.
    `is_lost`: a damaged file was set aside, so the state does not tell which bundles on disk are needed.
    """

    def __init__(self, path: Path | None, now_s: Callable[[], float], empty: StateT, consequence: str) -> None:
        """Read the file, if there is one; `now_s` is the wall clock. Without a path the state is in memory only.

        `empty` is the state without a file, `consequence` a text for the log: what a damaged file leads to.
        """
        self._path = path
        self._listener: Callable[[], None] | None = None
        self.now_s = now_s
        loaded = empty if path is None else load_or_set_aside(path, empty, consequence)
        self.state, self.is_lost = loaded or empty, loaded is None
        self.trouble: str | None = None
        self._is_stored = path is not None and os.path.lexists(path)

    @property
    def has_file(self) -> bool:
        """Whether there may be a file; else nothing is known of what lies on disk."""
        return self._path is not None

    def subscribe(self, listener: Callable[[], None] | None) -> None:
        """Call `listener` after each change from now on, in the thread that writes; None: call nobody."""
        self._listener = listener

    def save(self, state: StateT) -> None:
        """Write the state to disk, then make it the current one.

        Raises UpdateError when it cannot be written; the current state stays then.
        Even so the file may have been replaced, if only the last of the steps failed.
        """
        try:
            self._write(state)
        finally:
            self._notify()

    def update(self, state: StateT) -> None:
        """Make the state the current one at once, and write it as soon as that is possible: see `retry`."""
        self.state = state
        self._try_to_write()
        self._notify()

    def retry(self) -> None:
        """Write the state if that has failed before, or if somebody has removed the file."""
        if self._path is None:
            return
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

    def _write(self, state: StateT) -> None:
        if self._path is None:
            self.state = state
            return
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


class StateFile(JsonFile[UpdateState]):
    """The file `state.json`. Without a path no release is known: the node has no source."""

    def __init__(self, path: Path | None, now_s: Callable[[], float]) -> None:
        super().__init__(path, now_s, UpdateState(), "the bundle of config.yaml runs")


class TaughtFile(JsonFile[TaughtState]):
    """The file `taught/state.json`. Without a path nothing can be taught."""

    def __init__(self, path: Path | None, now_s: Callable[[], float]) -> None:
        super().__init__(path, now_s, NOTHING_TAUGHT, "the bundle runs without the labels that were taught")


def load_or_set_aside(path: Path, empty: StateT, consequence: str) -> StateT | None:
    """The state in the file; None if the state is lost. Raises OSError where the system lacks descriptors for a moment.

    A file that is damaged or cannot be read is renamed; one of a later version was renamed before. The state then stays
    lost until another one is written.
    """
    if not os.path.lexists(path) and (path.with_suffix(".damaged").exists() or aside_of(path)):
        return None
    try:
        return read_stored(path, empty)
    except UpdateError as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        log.error("%s; %s", error, consequence)
        _set_aside(path)
        return None


def read_state(path: Path) -> UpdateState:
    """The content of `state.json`. See `read_stored`."""
    return read_stored(path, UpdateState())


def read_stored(path: Path, empty: StateT) -> StateT:
    """The state in the file, or the empty one if there is no file. Raises UpdateError; writes nothing.

    A time that no clock can have shown is ignored. With any other wrong value the file counts as damaged.
    """
    try:
        return _parse(path, read_own(path, MAX_STATE_BYTES), type(empty))
    except FileNotFoundError:
        return empty
    except OSError as error:
        raise UpdateError("disk", f"{path} cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        newest = type(empty).model_fields["format"].default
        if (found := json_version(path) or newest) > newest:
            raise UpdateError("disk", f"{later_problem(path, found, newest)}; a start sets it aside") from error
        raise UpdateError("disk", f"{path} is damaged ({_first_problem(error)})") from error


def _parse(path: Path, text: bytes, model: type[StateT]) -> StateT:
    """The state. Raises ValidationError."""
    try:
        return model.model_validate_json(text)
    except ValidationError:
        try:
            document, remarks = without_nonsense(json.loads(text))
        except (ValueError, RecursionError):
            document, remarks = None, []
        if not remarks:
            raise
    state = model.model_validate_json(json.dumps(document))
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

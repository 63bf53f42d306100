"""Which bundle runs when the daemon starts: the active one if it is whole and loads, else the one before it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from daemon.core.errors import Refused, UpdateError
from daemon.updates.policy import BuiltInBundle, apply_config
from daemon.updates.slots import SLOTS, check_integrity
from daemon.updates.state import Slot, UpdateState
from daemon.updates.state_file import StateFile, read_state
from daemon.updates.transitions import MAX_STARTS, count_start, resume, revert

Prepared = TypeVar("Prepared")
log = logging.getLogger(__name__)


def guarded_load(load: Callable[[], Prepared]) -> Prepared:
    """What loading gives. Raises UpdateError of kind bundle, where anything goes wrong."""
    try:
        return load()
    except Refused as error:
        raise UpdateError("bundle", str(error)) from error
    except MemoryError as error:
        raise UpdateError("memory", "there is too little memory to load it") from error
    except Exception as error:
        log.exception("a bundle could not be loaded")
        raise UpdateError("bundle", f"cannot be loaded: {type(error).__name__}: {error}") from error


Loaded = TypeVar("Loaded")

STATE_FILE = "state.json"


class Startup:
    """The beginning of a daemon's life: from here on `state_file` knows what is active.

    What changes is written before anything is loaded, so that a bundle that brings the daemon down is left behind.
    """

    def __init__(self, directory: Path, built_in: BuiltInBundle, now_s: Callable[[], float] = time.time) -> None:
        """`directory` is the one of replaced bundles, `built_in` the config's bundle, `now_s` the wall clock."""
        self.directory = directory
        self.built_in = built_in
        self.state_file = StateFile(directory / STATE_FILE, now_s)
        state, remark = apply_config(self.state_file.state, built_in)
        if remark is not None:
            log.warning("%s", remark)
        state = self._counted(resume(state, now_s()))
        if state != self.state_file.state:
            self.state_file.note(state)

    def load(self, load: Callable[[Path, str], Loaded]) -> Loaded:
        """Load the bundle that is to run, given its directory and id.

        What the last resort raises is raised, and nothing is changed then: it may not be the bundles' fault.
        """
        state = self.state_file.state
        while (slot := state.active) is not None:
            try:
                found = self._load_slot(slot, load)
                break
            except UpdateError as error:
                log.error("%s cannot be used, the one before it takes over: %s", slot.id, error)
                # damage is the disk's fault: the same version may come again
                is_refused = error.kind == "bundle"
                state = revert(state, "switch", str(error), self.state_file.now_s(), refuse=is_refused)
        else:
            found = load(self.built_in.directory, self.built_in.id)
        if state != self.state_file.state:
            self.state_file.note(state)
        return found

    def _load_slot(self, slot: Slot, load: Callable[[Path, str], Loaded]) -> Loaded:
        directory = self.directory / SLOTS / slot.content
        check_integrity(directory, slot.content, lambda: None)
        return guarded_load(lambda: load(directory, slot.id))

    def _counted(self, state: UpdateState) -> UpdateState:
        if state.active is None or state.probation is None:
            return state
        now_s = self.state_file.now_s()
        counted = count_start(state)
        if counted.probation is not None and counted.probation.starts >= MAX_STARTS:
            reason = f"the daemon was started {MAX_STARTS} times while it was on probation"
            log.error("%s is left: %s", state.active.id, reason)
            return revert(state, "probation", reason, now_s)
        try:
            self.state_file.keep(counted)
        except UpdateError as error:
            # uncounted, a bundle that brings the daemon down would do so for ever
            return revert(state, "probation", f"the start could not be counted: {error}", now_s, refuse=False)
        return self.state_file.state


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle in the store; `damage` says what is not whole of it."""

    slot: Slot
    directory: Path
    damage: str | None


@dataclass(frozen=True, slots=True)
class DryStart:
    """The state that a start would find, and its bundles, the active one first; `trouble` says why it is not known."""

    state: UpdateState
    kept: tuple[StoredBundle, ...] = ()
    trouble: str | None = None

    @property
    def runs(self) -> StoredBundle | None:
        """What would run; None: the config's own bundle."""
        return next((kept for kept in self.kept if kept.damage is None), None)


def dry_start(directory: Path, built_in: BuiltInBundle) -> DryStart:
    """What is in the directory of replaced bundles; each of their files is read once."""
    try:
        state, _ = apply_config(read_state(directory / STATE_FILE), built_in)
    except UpdateError as error:
        return DryStart(UpdateState(), trouble=str(error))
    slots = (slot for slot in (state.active, state.previous) if slot is not None)
    return DryStart(state, tuple(_kept(slot, directory / SLOTS / slot.content) for slot in slots))


def _kept(slot: Slot, directory: Path) -> StoredBundle:
    try:
        check_integrity(directory, slot.content, lambda: None)
    except UpdateError as error:
        return StoredBundle(slot, directory, str(error))
    return StoredBundle(slot, directory, None)

"""Selects the bundle that runs when the daemon starts: the active one if it can run, else the one before it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from daemon.core.errors import UpdateError, shortage_behind
from daemon.updates.installer import guarded_load
from daemon.updates.policy import BuiltInBundle, apply_config
from daemon.updates.slots import SLOTS, check_integrity
from daemon.updates.state import Slot, UpdateState
from daemon.updates.state_file import StateFile, read_state
from daemon.updates.transitions import MAX_STARTS, count_start, resume, revert

STATE_FILE = "state.json"

LoadedT = TypeVar("LoadedT")

log = logging.getLogger(__name__)


class Startup:
    """One start of the daemon: brings the state up to date, then loads the bundle that is to run.

    The state is written before anything is loaded. So a bundle that crashes the daemon is replaced in the end.
    """

    def __init__(
        self,
        directory: Path,
        built_in: BuiltInBundle,
        now_s: Callable[[], float] = time.time,
        *,
        counts: bool = True,
    ) -> None:
        """`directory` contains the installed bundles and `state.json`; `now_s` is the wall clock.

        `counts` is False when a running daemon begins again: that is no start after which a bundle may be to blame.
        """
        self.directory = directory
        self.built_in = built_in
        self.state_file = StateFile(directory / STATE_FILE, now_s)
        state, remark = apply_config(self.state_file.state, built_in)
        if remark is not None:
            log.warning("%s", remark)
        if counts:
            state = self._count_start(resume(state, now_s()))
        if state != self.state_file.state:
            self.state_file.update(state)

    def load(self, load: Callable[[Path, str], LoadedT]) -> LoadedT:
        """Load the bundle that is to run; `load` is called with its directory and id.

        Raises what `load` raises for the built-in bundle, and OSError where the system lacks descriptors for a
        moment. The state is unchanged then, because the cause may be the config or the system rather than the bundles.
        """
        state = self.state_file.state
        while (slot := state.active) is not None:
            try:
                loaded = self._load_slot(slot, load)
                break
            except UpdateError as error:
                if (shortage := shortage_behind(error)) is not None:
                    raise shortage from None
                log.error("%s cannot be used, the bundle before it is tried: %s", slot.id, error)
                # a damaged file is the disk's fault: the same version may be installed again
                is_refused = error.kind == "bundle"
                state = revert(state, "switch", str(error), self.state_file.now_s(), is_refused=is_refused)
        else:
            loaded = load(self.built_in.directory, self.built_in.id)
        if state != self.state_file.state:
            self.state_file.update(state)
        return loaded

    def _load_slot(self, slot: Slot, load: Callable[[Path, str], LoadedT]) -> LoadedT:
        directory = self.directory / SLOTS / slot.content
        check_integrity(directory, slot.content)
        with guarded_load():
            return load(directory, slot.id)

    def _count_start(self, state: UpdateState) -> UpdateState:
        if state.active is None or state.probation is None:
            return state
        now_s = self.state_file.now_s()
        counted = count_start(state)
        if counted.probation is not None and counted.probation.starts >= MAX_STARTS:
            reason = f"the daemon was started {MAX_STARTS} times during probation"
            log.error("rolling %s back: %s", state.active.id, reason)
            return revert(state, "probation", reason, now_s)
        try:
            self.state_file.save(counted)
        except UpdateError as error:
            if (shortage := shortage_behind(error)) is not None:
                raise shortage from None
            # without the count, a bundle that crashes the daemon would do so for ever
            return revert(state, "probation", f"the start could not be counted: {error}", now_s, is_refused=False)
        return self.state_file.state


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle in a slot; `damage` says what is wrong with it, and is None if it is intact."""

    slot: Slot
    directory: Path
    damage: str | None


@dataclass(frozen=True, slots=True)
class DryStart:
    """The state that a start would find, and its bundles, the active one first.

    `problem` says why the state cannot be read.
    """

    state: UpdateState
    bundles: tuple[StoredBundle, ...] = ()
    problem: str | None = None

    @property
    def bundle_to_run(self) -> StoredBundle | None:
        """The bundle that a start would run; None for the built-in one."""
        return next((bundle for bundle in self.bundles if bundle.damage is None), None)


def dry_start(directory: Path, built_in: BuiltInBundle) -> DryStart:
    """What a start would find in the directory. Reads every file of the bundles once, and writes nothing."""
    try:
        state, _ = apply_config(read_state(directory / STATE_FILE), built_in)
    except UpdateError as error:
        return DryStart(UpdateState(), problem=str(error))
    slots = (slot for slot in (state.active, state.previous) if slot is not None)
    return DryStart(state, tuple(_stored_bundle(slot, directory / SLOTS / slot.content) for slot in slots))


def _stored_bundle(slot: Slot, directory: Path) -> StoredBundle:
    try:
        check_integrity(directory, slot.content)
    except UpdateError as error:
        return StoredBundle(slot, directory, str(error))
    return StoredBundle(slot, directory, None)

"""Selects the bundle that runs when the daemon starts: the active one if it can run, else the one before it.

What was taught on a bundle runs in its place.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from daemon.core.errors import UpdateError, shortage_behind
from daemon.core.files import create_own_directory
from daemon.updates import taught_transitions
from daemon.updates.guarded_load import guarded_load
from daemon.updates.policy import BuiltInBundle, active_id, apply_config
from daemon.updates.slots import TAUGHT, check_integrity, slot_directory
from daemon.updates.state import Slot, UpdateState
from daemon.updates.state_file import StateFile, TaughtFile, read_state, read_stored
from daemon.updates.taught_state import NOTHING_TAUGHT, TaughtState, taught_slot, version_on
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
        has_source: bool = True,
        teaches: bool = True,
    ) -> None:
        """`directory` contains the installed bundles and their states; `now_s` is the wall clock.

        `counts` is False when a running daemon begins again: that is no start after which a bundle may be to blame.
        Without a source the bundle of config.yaml is the base, whatever was installed before. Where nothing may be
        taught, the base runs, whatever was taught before.
        """
        self.directory = directory
        self.built_in = built_in
        self.has_source = has_source
        self.state_file = StateFile(directory / STATE_FILE if has_source else None, now_s)
        if teaches:
            _replace_foreign(directory / TAUGHT)
        self.taught_file = TaughtFile(directory / TAUGHT / STATE_FILE if teaches else None, now_s)
        state, remark = apply_config(self.state_file.state, built_in)
        if remark is not None:
            log.warning("%s", remark)
        taught = self.taught_file.state
        if counts:
            state, taught = resume(state, now_s()), taught_transitions.resume(taught, now_s())
            version = version_on(taught, base := active_id(state, built_in))
            # what was changed last is to blame first
            if version is not None and version.probation is not None:
                taught = self._count_taught(taught, base)
            else:
                state = self._count_start(state)
        self._store(state, taught)

    def load(self, load: Callable[[Path, str], LoadedT]) -> LoadedT:
        """Load the bundle that is to run; `load` is called with its directory and id.

        Raises what `load` raises for the built-in bundle, and OSError where the system lacks descriptors for a
        moment. The states are unchanged then, because the cause may be the config or the system.
        """
        state, taught = self.state_file.state, self.taught_file.state
        while True:
            base = active_id(state, self.built_in)
            slot = taught_slot(taught, base) or state.active
            if slot is None:
                loaded = load(self.built_in.directory, self.built_in.id)
                break
            try:
                loaded = self._load_slot(slot, load)
                break
            except UpdateError as error:
                if (shortage := shortage_behind(error)) is not None:
                    raise shortage from None
                log.error("%s cannot be used, the bundle before it is tried: %s", slot.id, error)
                # a damaged file is the disk's fault: the same version may be installed again
                is_refused = error.kind == "bundle"
                now_s = self.state_file.now_s()
                if slot == state.active:
                    state = revert(state, "switch", str(error), now_s, is_refused=is_refused)
                else:
                    taught = taught_transitions.revert(taught, base, "switch", str(error), now_s, is_refused=is_refused)
        self._store(state, taught)
        return loaded

    def _store(self, state: UpdateState, taught: TaughtState) -> None:
        if taught != self.taught_file.state:
            self.taught_file.update(taught)
        if state != self.state_file.state:
            self.state_file.update(state)

    def _load_slot(self, slot: Slot, load: Callable[[Path, str], LoadedT]) -> LoadedT:
        directory = slot_directory(self.directory, slot)
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

    def _count_taught(self, taught: TaughtState, base: str) -> TaughtState:
        now_s = self.taught_file.now_s()
        counted = taught_transitions.count_start(taught, base)
        version = version_on(counted, base)
        if version is None or version.slot is None or version.probation is None:
            return taught
        if version.probation.starts >= MAX_STARTS:
            reason = f"the daemon was started {MAX_STARTS} times during probation"
            log.error("rolling %s back: %s", version.slot.id, reason)
            return taught_transitions.revert(taught, base, "probation", reason, now_s)
        try:
            self.taught_file.save(counted)
        except UpdateError as error:
            if (shortage := shortage_behind(error)) is not None:
                raise shortage from None
            reason = f"the start could not be counted: {error}"
            return taught_transitions.revert(taught, base, "probation", reason, now_s, is_refused=False)
        return self.taught_file.state


def _replace_foreign(directory: Path) -> None:
    """Replace what lies in the place of a directory of ours, such as a link."""
    try:
        if os.path.lexists(directory) and (problem := create_own_directory(directory)) is not None:
            log.warning("%s %s: it was replaced", directory, problem)
    except OSError as error:
        log.error("%s cannot be replaced: %s", directory, error.strerror or error)


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A bundle in a slot; `damage` says what is wrong with it, and is None if it is intact."""

    slot: Slot
    directory: Path
    damage: str | None


@dataclass(frozen=True, slots=True)
class DryStart:
    """The states that a start would find, and its bundles, in the order in which a start tries them.

    `problem` says why a state cannot be read.
    """

    state: UpdateState
    bundles: tuple[StoredBundle, ...] = ()
    problem: str | None = None
    taught: TaughtState = NOTHING_TAUGHT

    @property
    def bundle_to_run(self) -> StoredBundle | None:
        """The bundle that a start would run; None for the built-in one."""
        return next((bundle for bundle in self.bundles if bundle.damage is None), None)


def dry_start(directory: Path, built_in: BuiltInBundle, *, has_source: bool = True, teaches: bool = True) -> DryStart:
    """What a start would find in the directory. Reads every file of the bundles once, and writes nothing.

    `has_source`, `teaches`: see Startup.
    """
    state, taught = UpdateState(), NOTHING_TAUGHT
    try:
        if has_source:
            state, _ = apply_config(read_state(directory / STATE_FILE), built_in)
        if teaches:
            taught = read_stored(directory / TAUGHT / STATE_FILE, taught)
    except UpdateError as error:
        return DryStart(UpdateState(), problem=str(error))
    slots = [*_tried_on(state.active, taught, active_id(state, built_in)), *_tried_before(state, taught, built_in)]
    bundles = tuple(_stored_bundle(slot, slot_directory(directory, slot)) for slot in slots)
    return DryStart(state, bundles, taught=taught)


def _tried_before(state: UpdateState, taught: TaughtState, built_in: BuiltInBundle) -> list[Slot]:
    if state.active is None:
        return []
    return _tried_on(state.previous, taught, built_in.id if state.previous is None else state.previous.id)


def _tried_on(base: Slot | None, taught: TaughtState, base_id: str) -> list[Slot]:
    """The slots that a start tries where this is the base; without a slot, the base is the built-in bundle."""
    version = version_on(taught, base_id)
    tried = [base] if version is None else [version.slot, version.previous, base]
    return [slot for slot in tried if slot is not None]


def _stored_bundle(slot: Slot, directory: Path) -> StoredBundle:
    try:
        check_integrity(directory, slot.content)
    except UpdateError as error:
        return StoredBundle(slot, directory, str(error))
    return StoredBundle(slot, directory, None)

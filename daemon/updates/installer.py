"""Installs a candidate stage by stage, and rolls an active bundle back."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from daemon.bundle.release import Release
from daemon.core.errors import UpdateError
from daemon.core.records import UpdateStage
from daemon.updates import taught_transitions, transitions
from daemon.updates.guarded_load import check_memory, guarded_load
from daemon.updates.policy import BuiltInBundle, active_id
from daemon.updates.slots import Slots, check_integrity
from daemon.updates.state import Candidate, Slot, slot_of
from daemon.updates.state_file import StateFile, TaughtFile
from daemon.updates.steps import Beat, Host, PreparedSwitch, Steps
from daemon.updates.taught_state import TaughtSlot, taught_slot_of
from daemon.updates.taught_versions import TaughtVersions

# in these stages an installation can be interrupted for one that takes seconds: each goes on where it was
FETCH_STAGES: tuple[UpdateStage, ...] = ("resolve", "download", "verify")

# done: installed, refused or withdrawn; retry: a later attempt may succeed; waits: what was taught cannot be fitted
# onto it; interrupted: something else must be done first
Outcome = Literal["done", "retry", "waits", "interrupted"]

log = logging.getLogger(__name__)


class Installer:
    """Installs candidates; used by one thread. Each stage is on disk before it begins."""

    def __init__(
        self,
        state_file: StateFile,
        taught_file: TaughtFile,
        slots: Slots,
        versions: TaughtVersions,
        steps: Steps,
        host: Host,
        built_in: BuiltInBundle,
        must_yield: Callable[[], bool],
    ) -> None:
        """`must_yield` says whether something else must be done first."""
        self._state_file = state_file
        self._taught_file = taught_file
        self._slots = slots
        self._versions = versions
        self._steps = steps
        self._host = host
        self._built_in = built_in
        self._must_yield = must_yield

    def run(self, candidate: Candidate, beat: Beat) -> Outcome:
        """Install the candidate up to its probation. Raises Closing when `beat` does."""
        log.info("installing %s", candidate.id)
        try:
            self._install(candidate, _CandidateBeat(self._state_file, beat, self._must_yield))
        except _Withdrawn:
            return "done"
        except _Interrupted:
            return "interrupted"
        except UpdateError as error:
            return self._fail(candidate, error)
        except OSError as error:
            return self._fail(candidate, UpdateError("disk", str(error)))
        log.info("%s is on probation", candidate.id)
        return "done"

    def _fail(self, candidate: Candidate, error: UpdateError) -> Outcome:
        state, now_s = self._state_file.state, self._state_file.now_s()
        stage = candidate.stage if state.candidate is None else state.candidate.stage
        if error.kind == "waits":
            log.warning("%s waits: %s", candidate.id, error)
            self._taught_file.update(taught_transitions.wait(self._taught_file.state, candidate.id, str(error), now_s))
            self._state_file.update(transitions.note_shutdown(state))  # no crash from now on is its fault
            return "waits"
        log.error("%s is not installed: %s: %s", candidate.id, stage, error)
        is_final = error.kind == "bundle"
        change = transitions.refuse if is_final else transitions.drop
        self._state_file.update(change(state, str(error), now_s))
        return "done" if is_final else "retry"

    def _install(self, candidate: Candidate, beat: Beat) -> None:
        self._begin("resolve", beat)
        self._slots.create()
        release = self._steps.resolve(candidate.name, candidate.version, beat)
        check_memory(release.signed.memory_mb)
        self._download(release, beat)
        slot = self._slots.slot(release.content)
        self._begin("check", beat, release)
        check_memory(release.signed.memory_mb)
        self._steps.check(release, slot, beat)
        self._begin("selftest", beat)
        self._steps.selftest(release, slot, beat)
        self._begin("switch", beat)
        self._switch(release, slot, beat)

    def _download(self, release: Release, beat: Beat) -> None:
        if self._slots.is_intact(release.content, beat):
            return
        self._begin("download", beat, release)
        required = self._state_file.state.required_contents
        self._slots.remove_unused(required)
        download_dir = self._slots.create_download_dir(release.content)
        self._slots.check_room(release, required)
        have = [self._slots.slot(content) for content in sorted(required - {release.content})]
        self._steps.download(release, download_dir, [*have, self._built_in.directory], beat)
        self._begin("verify", beat)
        self._steps.verify(release, download_dir, beat)
        self._slots.promote(release.content)

    def _switch(self, release: Release, directory: Path, beat: Beat) -> None:
        slot = slot_of(release)
        check_integrity(directory, slot.content, beat)
        taught = self._derive(release, directory, beat)
        prepared = self._prepare(directory, slot.id) if taught is None else self._versions.prepare(taught, beat)
        beat()  # loading may take long: if the daemon stops meanwhile, nothing is switched
        before = self._host.bundle_metrics()
        # first what runs on the new base, then the base: until then neither is used
        known = self._taught_file.state
        if (noted := taught_transitions.switch_base(known, slot.id, taught, self._built_in.id)) != known:
            self._taught_file.save(noted)
        state, now_s = self._state_file.state, self._state_file.now_s()
        self._state_file.save(transitions.switch(state, slot, self._built_in.id, before, now_s))
        prepared.commit()

    def _derive(self, release: Release, directory: Path, beat: Beat) -> TaughtSlot | None:
        """The labels that were taught, fitted onto the new base; None where nothing was taught for it."""
        active = active_id(self._state_file.state, self._built_in)
        if active.partition("@")[0] != release.signed.name:
            return None
        derived = self._host.derive(directory, release.id, beat)
        if derived is None:
            return None
        try:
            taught = self._versions.take(derived.directory, derived.bundle_id, beat)
            self._versions.check(taught, beat)
            self._versions.selftest(taught, beat)
        except UpdateError as error:  # the fit is to blame, not the release
            raise UpdateError("waits", f"{derived.bundle_id}: {error}") from error
        return taught_slot_of(taught)

    def _prepare(self, directory: Path, bundle: str) -> PreparedSwitch:
        with guarded_load():
            return self._host.prepare(directory, bundle)

    def _begin(self, stage: UpdateStage, beat: Beat, release: Release | None = None) -> None:
        beat()
        state, now_s = self._state_file.state, self._state_file.now_s()
        self._state_file.save(transitions.begin_stage(state, stage, now_s, release))


class Rollback:
    """Switches back to the previous bundle, or to the built-in one; used by one thread."""

    def __init__(
        self, state_file: StateFile, slots: Slots, versions: TaughtVersions, host: Host, built_in: BuiltInBundle
    ) -> None:
        self._state_file = state_file
        self._slots = slots
        self._versions = versions
        self._host = host
        self._built_in = built_in

    def run(self, stage: UpdateStage, reason: str, beat: Beat) -> None:
        """Replace the active bundle, which is refused from now on. Raises Closing when `beat` does.

        What was taught on the bundle before runs again. The switch comes before the new state is written, because the
        disk may be read-only or full.
        """
        active, previous = self._state_file.state.active, self._state_file.state.previous
        if active is None:
            return
        log.warning("rolling %s back: %s", active.id, reason)
        try:
            to_built_in = not (previous is not None and self._switch_to_slot(previous, beat))
            if to_built_in and not self._versions.activate(self._built_in.id, beat):
                self._switch(self._built_in.directory, self._built_in.id, beat)
        except UpdateError as error:
            log.error("%s stays active: no other bundle can run: %s", active.id, error)
            reason = f"{reason}; no other bundle can run: {error}"
            state, now_s = self._state_file.state, self._state_file.now_s()
            self._state_file.update(transitions.keep_active(state, stage, reason, now_s))
            return
        state = transitions.revert(self._state_file.state, stage, reason, self._state_file.now_s())
        self._state_file.update(transitions.revert_to_built_in(state) if to_built_in else state)

    def _switch_to_slot(self, slot: Slot, beat: Beat) -> bool:
        if self._versions.activate(slot.id, beat):
            return True
        directory = self._slots.slot(slot.content)
        try:
            check_integrity(directory, slot.content, beat)
            self._switch(directory, slot.id, beat)
        except UpdateError as error:
            log.error("%s cannot be used, %s replaces it: %s", slot.id, self._built_in.id, error)
            return False
        return True

    def _switch(self, directory: Path, bundle: str, beat: Beat) -> None:
        with guarded_load():
            prepared = self._host.prepare(directory, bundle)
        beat()  # loading may take long: if the daemon stops meanwhile, nothing is switched
        prepared.commit()


class _Withdrawn(Exception):
    """The candidate was dropped, by a rollback request or a pin."""


class _Interrupted(Exception):
    """Something else must be done before the candidate."""


class _CandidateBeat:
    """Calls `beat`. Raises _Withdrawn once there is no candidate any more, and _Interrupted. Implements Beat."""

    def __init__(self, state_file: StateFile, beat: Beat, must_yield: Callable[[], bool]) -> None:
        self._state_file = state_file
        self._beat = beat
        self._must_yield = must_yield

    def __call__(self) -> None:
        self._beat()
        candidate = self._state_file.state.candidate
        if candidate is None:
            raise _Withdrawn
        if candidate.stage in FETCH_STAGES and self._must_yield():
            raise _Interrupted

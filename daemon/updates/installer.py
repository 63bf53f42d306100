"""Takes the candidate through its stages, each of which is on disk before it begins."""

import logging
from pathlib import Path

from daemon.bundle.release import Release
from daemon.core.errors import UpdateError
from daemon.core.records import UpdateStage
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.updates.policy import BuiltInBundle, ProbationPolicy, Verdict, evaluate_probation
from daemon.updates.slots import Slots, check_integrity
from daemon.updates.startup import guarded_load
from daemon.updates.state import Candidate, Slot
from daemon.updates.state_file import StateFile
from daemon.updates.steps import Beat, Host, Steps, slot_of
from daemon.updates.transitions import (
    begin_stage,
    confirm,
    drop,
    keep_active,
    refuse,
    revert,
    revert_to_built_in,
    switch,
)

log = logging.getLogger(__name__)

KB_PER_MB = 1024


class _Withdrawn(Exception):
    """Nobody wants the candidate any more."""


class Installer:
    """Installs bundles; used by one thread."""

    def __init__(self, state_file: StateFile, store: Slots, stages: Steps, host: Host, built_in: BuiltInBundle) -> None:
        self._state_file = state_file
        self._store = store
        self._steps = stages
        self._host = host
        self._built_in = built_in

    def run(self, candidate: Candidate, beat: Beat) -> bool:
        """Install it, up to its probation. Says whether that is settled: else it may be tried again later.

        Raises Closing when `beat` does.
        """

        def wanted() -> None:
            beat()
            if self._state_file.state.candidate is None:
                raise _Withdrawn

        log.info("installing %s", candidate.id)
        try:
            self._through(candidate, wanted)
        except _Withdrawn:
            return True
        except UpdateError as error:
            return self._given_up(candidate, error)
        except OSError as error:
            return self._given_up(candidate, UpdateError("disk", str(error)))
        log.info("%s is on probation", candidate.id)
        return True

    def _given_up(self, candidate: Candidate, error: UpdateError) -> bool:
        state, now_s = self._state_file.state, self._state_file.now_s()
        stage = candidate.stage if state.candidate is None else state.candidate.stage
        log.error("%s is not installed: %s: %s", candidate.id, stage, error)
        settled = error.kind == "bundle"
        self._state_file.note((refuse if settled else drop)(state, str(error), now_s))
        return settled

    def _through(self, candidate: Candidate, beat: Beat) -> None:
        self._enter("resolve", beat)
        self._store.make()
        release = self._steps.resolve(candidate.name, candidate.version, beat)
        check_memory(release.signed.memory_mb)
        self._bring(release, beat)
        slot = self._store.slot(release.content)
        self._enter("check", beat, release)
        check_memory(release.signed.memory_mb)
        self._steps.check(release, slot, beat)
        self._enter("selftest", beat)
        self._steps.selftest(release, slot, beat)
        self._enter("switch", beat)
        self._switch(release, slot, beat)

    def _bring(self, release: Release, beat: Beat) -> None:
        if self._store.is_intact(release.content, beat):
            return
        self._enter("download", beat, release)
        kept = self._state_file.state.kept
        self._store.sweep(kept)
        partial = self._store.gather(release.content)
        self._store.check_room(release, kept)
        have = [self._store.slot(content) for content in sorted(kept - {release.content})]
        self._steps.download(release, partial, [*have, self._built_in.directory], beat)
        self._enter("verify", beat)
        self._steps.verify(release, partial, beat)
        self._store.adopt(release.content)

    def _switch(self, release: Release, directory: Path, beat: Beat) -> None:
        slot = slot_of(release)
        check_integrity(directory, slot.content, beat)
        commit = guarded_load(lambda: self._host.prepare(directory, slot.id))
        beat()  # loading may take long: nothing is switched any more once the daemon stops
        before = self._host.bundle_metrics()
        self._state_file.keep(switch(self._state_file.state, slot, self._built_in.id, before, self._state_file.now_s()))
        commit()

    def _enter(self, stage: UpdateStage, beat: Beat, release: Release | None = None) -> None:
        beat()
        self._state_file.keep(begin_stage(self._state_file.state, stage, self._state_file.now_s(), release))


def check_memory(needed_mb: int) -> None:
    """Raises UpdateError when so much is not free."""
    available_mb = available_memory_mb()
    if needed_mb > available_mb:
        raise UpdateError("memory", f"needs {needed_mb} MB of memory, {available_mb} MB are free")


def available_memory_mb() -> int:
    """What programs could have without others being pushed out, see proc(5)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kb = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kb // KB_PER_MB


class ProbationWatch:
    """The probation of one bundle, from here on: its time begins anew when the daemon was started meanwhile."""

    def __init__(self, state_file: StateFile, host: Host, rules: ProbationPolicy) -> None:
        self._state_file = state_file
        self._host = host
        self._rules = rules
        self._began_ns = monotonic_ns()
        self._windows_judged = 0

    def look(self) -> Verdict:
        """Judge the bundle now; one that is kept is confirmed."""
        state = self._state_file.state
        if state.probation is None or state.active is None:
            return Verdict("keep")
        now = self._host.bundle_metrics()
        elapsed_s = (monotonic_ns() - self._began_ns) / NS_PER_S
        verdict = evaluate_probation(state.probation.before, now, elapsed_s, self._windows_judged, self._rules)
        self._windows_judged = max(self._windows_judged, now.moments // self._rules.window_moments)
        if verdict.decision == "keep":
            log.info("%s is confirmed", state.active.id)
            self._state_file.note(confirm(state, self._state_file.now_s()))
        return verdict


class Rollback:
    """The way back to the bundle before the active one, or to the config's own."""

    def __init__(self, state_file: StateFile, store: Slots, host: Host, built_in: BuiltInBundle) -> None:
        self._state_file = state_file
        self._store = store
        self._host = host
        self._built_in = built_in

    def go(self, stage: UpdateStage, reason: str, beat: Beat) -> None:
        """Leave the active bundle, which is refused from now on.

        What runs is switched first, for a disk may not let itself be written.
        """
        active, previous = self._state_file.state.active, self._state_file.state.previous
        if active is None:
            return
        log.warning("%s makes way: %s", active.id, reason)
        try:
            to_own = not (previous is not None and self._switched_to(previous, beat))
            if to_own:
                self._switch(self._built_in.directory, self._built_in.id, beat)
        except UpdateError as error:
            log.error("%s stays: there is no other to go back to: %s", active.id, error)
            reason = f"{reason}; and there is no other to go back to: {error}"
            self._state_file.note(keep_active(self._state_file.state, stage, reason, self._state_file.now_s()))
            return
        after = revert(self._state_file.state, stage, reason, self._state_file.now_s())
        self._state_file.note(revert_to_built_in(after) if to_own else after)

    def _switched_to(self, slot: Slot, beat: Beat) -> bool:
        directory = self._store.slot(slot.content)
        try:
            check_integrity(directory, slot.content, beat)
            self._switch(directory, slot.id, beat)
        except UpdateError as error:
            log.error("%s cannot be used, the config's own takes over: %s", slot.id, error)
            return False
        return True

    def _switch(self, directory: Path, bundle: str, beat: Beat) -> None:
        commit = guarded_load(lambda: self._host.prepare(directory, bundle))
        beat()  # loading may take long: nothing is switched any more once the daemon stops
        commit()

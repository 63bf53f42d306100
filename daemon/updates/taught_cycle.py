"""The updater's work with what is taught on this device: installs it, watches it, and brings it onto new bases."""

import logging
from pathlib import Path

from daemon.core.errors import UpdateError
from daemon.core.files import remove
from daemon.core.records import UpdateStage
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.updates import taught_transitions as to
from daemon.updates.guarded_load import guarded_load
from daemon.updates.policy import FIRST_RETRY_S, HOUR_S, BuiltInBundle, active_id
from daemon.updates.probation import MIN_TAUGHT_SCORE_RATIO, ProbationPolicy, ProbationWatch, Verdict
from daemon.updates.requests import BaseRequest, ChangeOfTaught, PendingRequests, TaughtRequest
from daemon.updates.slots import check_integrity, slot_directory
from daemon.updates.state_file import StateFile, TaughtFile
from daemon.updates.steps import Beat, Host, PreparedSwitch
from daemon.updates.taught_installer import TaughtInstaller, other_bundle_text
from daemon.updates.taught_state import (
    TaughtCandidate,
    TaughtSlot,
    TaughtState,
    must_derive,
    plain_id,
    running_id,
    taught_slot,
    version_on,
)
from daemon.updates.taught_versions import TaughtVersions

# a base that waits is tried again after this, or when something is taught
DAY_S = 24 * HOUR_S

log = logging.getLogger(__name__)


class TaughtCycle:
    """Used by the updater's thread only. Every method but `is_waiting` may raise what `beat` raises."""

    def __init__(
        self,
        directory: Path,
        state_file: StateFile,
        taught_file: TaughtFile,
        versions: TaughtVersions,
        host: Host,
        requests: PendingRequests,
        built_in: BuiltInBundle,
        policy: ProbationPolicy,
    ) -> None:
        """`directory` contains the slots of the bases."""
        self._directory = directory
        self._state_file, self._file = state_file, taught_file
        self._versions, self._host, self._requests = versions, host, requests
        self._built_in, self._policy = built_in, policy
        self._installer = TaughtInstaller(taught_file, versions, host, built_in)
        self._probation: ProbationWatch | None = None
        self._backoff = Backoff(FIRST_RETRY_S, HOUR_S)
        self._retry_s = 0.0
        self._postponed: ChangeOfTaught | None = None
        self._waits_until_s: dict[str, float] = {}

    def begin(self) -> None:
        """Remove what nobody needs any more."""
        if not self._file.has_file:
            return
        state = self._state_file.state
        bases = {slot.id for slot in (state.active, state.previous) if slot is not None} | {self._built_in.id}
        if (kept := to.keep_for(self._file.state, bases, self._base)) != self._file.state:
            self._file.update(kept)
        self._remove_unused()

    def is_waiting(self, base: str) -> bool:
        """Whether a new base waits for what was taught, and is not to be tried again yet."""
        return _monotonic_s() < self._waits_until_s.get(base, 0.0)

    @property
    def is_on_probation(self) -> bool:
        """Whether the active taught version is on probation of its own."""
        version = version_on(self._file.state, self._base)
        return version is not None and version.probation is not None

    def drop(self, reason: str) -> None:
        """Give the candidate up, if there is one."""
        if self._file.state.candidate is not None:
            self._file.update(to.drop(self._file.state, reason, self._file.now_s()))

    def put_off(self, base: str) -> None:
        """Do not try a new base again until something is taught, or for a day."""
        self._waits_until_s[base] = _monotonic_s() + DAY_S

    def round(self, beat: Beat) -> bool:
        """Install what is requested, or was begun; returns whether there was something to do."""
        self._file.retry()
        if self._requests.pop_derive():
            self._waits_until_s.clear()
        requests = self._requests.pop_taught()
        if not requests and _monotonic_s() < self._retry_s:
            return False
        if self._postponed is not None:
            requests = [self._postponed, *requests]
        for request in requests[:-1]:  # the newest one replaces them
            _discard(request)
        self._postponed = None
        if requests:
            self._obey(requests[-1], beat)
            return True
        if self._file.state.candidate is None:
            return False
        self._install(self._file.state.candidate, beat)
        return True

    def watch(self, beat: Beat, failure: str | None) -> bool | None:
        """Watch a version on probation; returns whether more may be due, and None if there is none.

        `failure` says why it has failed already.
        """
        version = version_on(self._file.state, self._base)
        if version is None or version.slot is None or version.probation is None:
            self._probation = None
            return None
        if self._probation is None:
            self._probation = ProbationWatch(self._host, self._policy)
        verdict = Verdict("revert", failure)
        if failure is None:
            verdict = self._probation.evaluate(version.probation.before, MIN_TAUGHT_SCORE_RATIO)
        if verdict.decision == "wait":
            return False
        self._probation = None
        if verdict.decision == "revert":
            self.roll_back("probation", verdict.reason or "", beat)
            return True
        log.info("%s is confirmed", version.slot.id)
        self._file.update(to.confirm(self._file.state, self._base, self._file.now_s()))
        self._remove_unused()
        return True

    def derive_base(self, beat: Beat) -> bool:
        """Bring what was taught onto the base that has replaced the one before; returns whether that was due."""
        base = self._base
        state = self._file.state
        if state.candidate is not None or not must_derive(state, base) or self.is_waiting(base):
            return False
        self.put_off(base)  # whatever happens now, it does not happen in every round
        try:
            derived = self._host.derive(self._base_directory, base, beat)
            if derived is None:
                self._run_base(to.switch_base(self._file.state, base, None, self._built_in.id), beat)
                return True
            release = self._versions.take(derived.directory, derived.bundle_id, beat)
        except (UpdateError, OSError) as error:
            log.warning("%s waits: %s", base, error)
            self._wait(str(error))
            return True
        self._file.update(to.begin_install(self._file.state, base, release, self._file.now_s()))
        return True

    def roll_back(self, stage: UpdateStage, reason: str, beat: Beat) -> bool:
        """Go back to the taught version before, or to the base. Returns False when the base is to be rolled back.

        The switch comes before the new state is written, because the disk may be read-only or full.
        """
        state, base = self._file.state, self._base
        version = version_on(state, base)
        if version is None or version.slot is None or (version.previous is None and version.came_with_base):
            return False
        log.warning("rolling %s back: %s", version.slot.id, reason)
        previous = self._prepare_previous(version.previous, beat)
        now_s = self._file.now_s()
        try:
            if previous is None:
                self._prepare_base(beat).commit()
            else:
                previous.commit()
        except UpdateError as error:
            log.error("%s stays active: no other bundle can run: %s", version.slot.id, error)
            reason = f"{reason}; no other bundle can run: {error}"
            self._file.update(to.keep_active(state, base, stage, reason, now_s))
            return True
        self._file.update(to.revert(state, base, stage, reason, now_s, to_base=previous is None))
        self._remove_unused()
        return True

    def _obey(self, request: ChangeOfTaught, beat: Beat) -> None:
        try:
            if isinstance(request, BaseRequest):
                self._forget(beat)
            else:
                self._take(request, beat)
        except UpdateError as error:
            log.error("the request %s cannot be carried out: %s", request, error)
            if error.kind == "bundle":
                _discard(request)
            else:
                self._postpone()
                self._postponed = request
            bundle = request.bundle if isinstance(request, TaughtRequest) else self._base
            self._file.update(to.reject(self._file.state, bundle, str(error), self._file.now_s()))
        finally:
            if self._postponed is None:
                self._requests.settle_taught(request)

    def _forget(self, beat: Beat) -> None:
        """Run the base, and remove everything that was taught."""
        state = self._file.state
        if taught_slot(state, self._base) is None:
            self._file.save(to.forget(state))
        else:
            self._run_base(to.forget(state), beat)
        self._probation = None
        self._waits_until_s.clear()  # nothing has to be fitted onto a new base any more
        self._remove_unused()

    def _take(self, request: TaughtRequest, beat: Beat) -> None:
        state, base = self._file.state, self._base
        running = running_id(state, base)
        if plain_id(request.bundle) != plain_id(running):
            log.warning("%s is not installed: %s is active now", request.bundle, running)
            _discard(request)
            self._file.update(to.leave(state, request.bundle, other_bundle_text(running), self._file.now_s()))
            return
        release = self._versions.take(request.directory, request.bundle, beat)
        version = version_on(state, base)
        base = base if version is None else version.base
        self._file.update(to.begin_install(self._file.state, base, release, self._file.now_s()))
        self._retry_s = 0.0

    def _install(self, candidate: TaughtCandidate, beat: Beat) -> None:
        outcome = self._installer.run(candidate, self._base, beat)
        if outcome == "retry":
            self._postpone()
            return
        self._backoff.reset()
        if outcome == "done":
            self._probation = None
            self._waits_until_s.clear()
        elif must_derive(self._file.state, self._base):
            self._wait(f"{candidate.slot.id} cannot be used")

    def _wait(self, reason: str) -> None:
        self.put_off(self._base)
        self._file.update(to.wait(self._file.state, self._base, reason, self._file.now_s()))

    def _run_base(self, state: TaughtState, beat: Beat) -> None:
        prepared = self._prepare_base(beat)
        self._file.save(state)
        prepared.commit()

    def _prepare_base(self, beat: Beat) -> PreparedSwitch:
        slot = self._state_file.state.active
        if slot is not None:
            check_integrity(self._base_directory, slot.content, beat)
        with guarded_load():
            prepared = self._host.prepare(self._base_directory, self._base)
        beat()
        return prepared

    def _prepare_previous(self, previous: TaughtSlot | None, beat: Beat) -> PreparedSwitch | None:
        if previous is None:
            return None
        try:
            return self._versions.prepare(previous, beat)
        except UpdateError as error:
            log.error("%s cannot be used, %s replaces it: %s", previous.id, self._base, error)
            return None

    def _postpone(self) -> None:
        self._retry_s = _monotonic_s() + self._backoff.next_s()

    def _remove_unused(self) -> None:
        try:
            self._versions.remove_unused()
        except UpdateError as error:
            log.error("%s", error)

    @property
    def _base(self) -> str:
        return active_id(self._state_file.state, self._built_in)

    @property
    def _base_directory(self) -> Path:
        slot = self._state_file.state.active
        return self._built_in.directory if slot is None else slot_directory(self._directory, slot)


def _discard(request: ChangeOfTaught) -> None:
    """Remove the directory of a request that is not carried out."""
    if isinstance(request, TaughtRequest):
        try:
            remove(request.directory)
        except OSError as error:
            log.warning("%s cannot be removed: %s", request.directory, error.strerror or error)


def _monotonic_s() -> float:
    return monotonic_ns() / NS_PER_S

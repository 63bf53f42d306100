"""The updater's work: carries out requests, watches probation, installs bundles and checks the source."""

import logging

from daemon.config.updates import ModelsConfig
from daemon.core.errors import UpdateError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.updates import transitions
from daemon.updates.installer import Installer, Rollback
from daemon.updates.metadata_cache import valid_until
from daemon.updates.policy import HOUR_S, BuiltInBundle, Schedule, automatic_offer, clock_problem, plausible_seen_time
from daemon.updates.probation import ProbationPolicy, ProbationWatch, Verdict, comparable
from daemon.updates.requests import InstallRequest, PendingRequests
from daemon.updates.slots import Slots
from daemon.updates.state import Candidate
from daemon.updates.state_file import StateFile, TaughtFile
from daemon.updates.steps import Beat, Host, Steps
from daemon.updates.taught_cycle import TaughtCycle
from daemon.updates.taught_versions import TaughtVersions

WITHDRAWN_REASON = "a rollback was requested"

log = logging.getLogger(__name__)


class UpdateCycle:
    """Runs one round after the other; used by the updater's thread only. Every method may raise what `beat` raises."""

    def __init__(
        self,
        config: ModelsConfig,
        state_file: StateFile,
        taught_file: TaughtFile,
        slots: Slots,
        versions: TaughtVersions,
        taught: TaughtCycle,
        steps: Steps,
        host: Host,
        requests: PendingRequests,
        *,
        built_in: BuiltInBundle,
        perceptd: str,
        policy: ProbationPolicy,
        beat: Beat,
    ) -> None:
        """`taught` does the same for what is taught on this device. Without a source nothing else is done."""
        self._has_source, self._is_automatic = config.source is not None, config.automatic
        self._state_file, self._slots, self._steps, self._host = state_file, slots, steps, host
        self._taught = taught
        self._requests, self._built_in, self._perceptd = requests, built_in, perceptd
        self._policy, self._beat = policy, beat
        self._installer = Installer(
            state_file, taught_file, slots, versions, steps, host, built_in, requests.has_taught
        )
        self._rollback = Rollback(state_file, slots, versions, host, built_in)
        self._schedule = Schedule(config.check_every_h * HOUR_S, _monotonic_s())
        self._probation: ProbationWatch | None = None
        self._failure: str | None = None
        self._waits_for_clock = False

    def begin(self) -> None:
        """Remove bundles that nobody needs, unless it is unknown which ones the next start needs."""
        self._taught.begin()
        if not self._has_source or self._state_file.trouble is not None or self._state_file.is_lost:
            return
        try:
            self._slots.remove_unused(self._state_file.state.required_contents)
        except UpdateError as error:
            log.error("%s", error)

    def round(self) -> bool:
        """Do what is due; returns whether more may be due."""
        self._state_file.retry()
        self._carry_out_request()
        if self._taught.round(self._beat):
            return True
        if self._is_source_requested() and self._look_at_source():
            return True
        if (is_done := self._watch_taught()) is not None:
            return is_done
        if self._state_file.state.probation is not None:
            return self._watch_probation()
        if self._taught.derive_base(self._beat):
            return True
        return self._has_source and self._look_at_source()

    def _is_source_requested(self) -> bool:
        """Whether somebody asks for a bundle of the source, or for a look: that does not wait for a taught version."""
        state = self._state_file.state
        if not self._has_source or state.probation is not None:
            return False
        candidate = state.candidate
        is_asked = candidate is not None and candidate.asked and not self._taught.is_waiting(candidate.id)
        return is_asked or self._requests.has_check()

    def _look_at_source(self) -> bool:
        if self._is_clock_wrong():
            return False
        candidate = self._state_file.state.candidate
        if candidate is not None and not self._taught.is_waiting(candidate.id):
            self._install(candidate)
            return True
        if self._requests.pop_check():
            self._schedule.request(_monotonic_s())
        if self._schedule.is_due(_monotonic_s()):
            self._check_source()
            return True
        return False

    def recover(self, reason: str, *, blames_bundle: bool) -> None:
        """Continue after an unexpected exception: drop the candidate.

        A bundle on probation is rolled back if the exception `blames_bundle`.
        """
        is_on_probation = self._taught.is_on_probation or self._state_file.state.probation is not None
        self._failure = reason if blames_bundle and is_on_probation else None
        self._schedule.fail(_monotonic_s())
        now_s = self._state_file.now_s()
        self._taught.drop(reason)
        self._state_file.update(transitions.drop(self._state_file.state, reason, now_s))

    def _carry_out_request(self) -> None:
        change = self._requests.pop_change()
        if change is None:
            return
        state, now_s = self._state_file.state, self._state_file.now_s()
        if isinstance(change, InstallRequest):
            if state.probation is None:
                state = transitions.begin_install(state, change.name, change.version, now_s, asked=True)
                self._state_file.update(state)
            return
        self._taught.drop(WITHDRAWN_REASON)
        self._state_file.update(transitions.drop(state, WITHDRAWN_REASON, now_s))
        self._probation = None
        if not self._taught.roll_back("switch", WITHDRAWN_REASON, self._beat):
            self._rollback.run("switch", WITHDRAWN_REASON, self._beat)

    def _watch_taught(self) -> bool | None:
        failure, self._failure = self._failure, None
        is_done = self._taught.watch(self._beat, failure)
        if is_done is None:
            self._failure = failure
        else:
            self._probation = None  # afterwards its metrics begin anew
        return is_done

    def _watch_probation(self) -> bool:
        state, failure = self._state_file.state, self._failure
        self._failure = None
        if state.probation is None or state.active is None:
            return False
        if self._probation is None:
            self._probation = ProbationWatch(self._host, self._policy)
        verdict = Verdict("revert", failure)
        if failure is None:
            verdict = self._probation.evaluate(comparable(state, state.probation.before))
        if verdict.decision == "wait":
            return False
        self._probation = None
        if verdict.decision == "revert":
            self._rollback.run("probation", verdict.reason or "", self._beat)
            return True
        log.info("%s is confirmed", state.active.id)
        self._state_file.update(transitions.confirm(state, self._state_file.now_s()))
        return True

    def _install(self, candidate: Candidate) -> None:
        self._probation = None
        outcome = self._installer.run(candidate, self._beat)
        if outcome == "waits":
            self._taught.put_off(candidate.id)
        if outcome == "retry":
            self._schedule.fail(_monotonic_s())
        elif outcome != "interrupted":
            self._schedule.succeed(_monotonic_s())

    def _check_source(self) -> None:
        try:
            self._slots.create()
            found = self._steps.list_releases(self._beat)
        except UpdateError as error:
            log.warning("checking models.source failed: %s", error)
            reason, now_s = str(error), self._state_file.now_s()
            self._state_file.update(transitions.note_failed_check(self._state_file.state, reason, now_s))
            self._schedule.fail(_monotonic_s())
            return
        for reason in found.skipped:
            log.warning("models.source: left out: %s", reason)
        now_s = self._state_file.now_s()
        state = transitions.note_check(self._state_file.state, now_s, found.releases)
        offer = automatic_offer(state, self._built_in, self._perceptd) if self._is_automatic else None
        if offer is None or (state.candidate is not None and state.candidate.id == offer.id):
            self._schedule.succeed(_monotonic_s())
        else:
            state = transitions.begin_install(state, offer.name, offer.version, now_s, asked=False)
        self._state_file.update(state)

    def _is_clock_wrong(self) -> bool:
        state, now_s = self._state_file.state, self._state_file.now_s()
        problem = clock_problem(now_s, state.seen_time)
        if problem is not None:
            seen_s = plausible_seen_time(state.seen_time, valid_until(self._slots.metadata))
            if seen_s != state.seen_time:
                log.warning("seen_time in state.json is later than any signature in tuf/ is valid: it is ignored")
                self._state_file.update(transitions.set_seen_time(state, seen_s))
                problem = clock_problem(now_s, seen_s)
        if problem is None:
            if self._waits_for_clock:
                self._schedule.request(_monotonic_s())
            self._waits_for_clock = False
            return False
        if not self._waits_for_clock or self._requests.pop_check():
            self._waits_for_clock = True
            log.warning("%s", problem)
            self._state_file.update(transitions.note_failed_check(state, problem, now_s))
        return True


def _monotonic_s() -> float:
    return monotonic_ns() / NS_PER_S

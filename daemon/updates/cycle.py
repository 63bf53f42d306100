"""What the updater does each time round: obeys, watches, installs, looks at the source."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from daemon.config.updates import ModelsConfig
from daemon.core.errors import UpdateError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.updates.installer import Installer, ProbationWatch, Rollback
from daemon.updates.policy import (
    HOUR_S,
    BuiltInBundle,
    ProbationPolicy,
    Schedule,
    Verdict,
    active_id,
    automatic_offer,
    clock_problem,
    newest_offer,
)
from daemon.updates.slots import Slots
from daemon.updates.state import Candidate, UpdateState
from daemon.updates.state_file import StateFile
from daemon.updates.steps import Beat, Host, Steps
from daemon.updates.transitions import begin_install, drop, note_check, note_failed_check


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """A version is wanted."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"to install {self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """The bundle before the active one is wanted, and none that is being installed."""

    def __str__(self) -> str:
        return "to roll back"


ChangeRequest = InstallRequest | RollbackRequest


class PendingRequests:
    """At most one of each kind waits; the methods never block, and say why an order is not taken."""

    def __init__(self, built_in: BuiltInBundle, perceptd: str, wake: Callable[[], None]) -> None:
        self._built_in = built_in
        self._perceptd = perceptd
        self._wake = wake
        self._lock = threading.Lock()
        self._change: ChangeRequest | None = None
        self._check = False
        self._pin: bool | None = None

    def check(self, state: UpdateState) -> str | None:
        """Look at the source now."""
        with self._lock:
            if reason := self._busy(state) or self._on_probation(state):
                return reason
            self._check = True
        self._wake()
        return None

    def install(self, state: UpdateState, name: str | None, version: str | None) -> str | None:
        """Install a version: without a name of the active bundle, without a version the newest that is known."""
        active = active_id(state, self._built_in)
        name = name or active.partition("@")[0]
        if version is None:
            offer = newest_offer(state, self._built_in, name, self._perceptd)
            if offer is None:
                newer = f" that is newer than {active}" if name == active.partition("@")[0] else ""
                return f"no version of {name} is known{newer} and can be run"
            version = offer.version
        if f"{name}@{version}" == active:
            return f"{active} is active"
        if state.candidate is not None and state.candidate.id == f"{name}@{version}":
            return None  # it is on its way already
        return self._on_probation(state) or self._put(state, InstallRequest(name, version))

    def rollback(self, state: UpdateState) -> str | None:
        """Go back to the bundle before the active one; what is being installed is given up, whatever waits too."""
        if state.active is None and state.candidate is None:
            return f"{self._built_in.id} is the config's own bundle: there is none before it"
        with self._lock:
            self._change = RollbackRequest()
        self._wake()
        return None

    def pin(self, on: bool) -> str | None:
        """Keep the active bundle until somebody asks for another, or no longer."""
        with self._lock:
            self._pin = on
        self._wake()
        return None

    def take_change(self) -> ChangeRequest | None:
        """The install or rollback that waits."""
        with self._lock:
            change, self._change = self._change, None
        return change

    @property
    def wants_back(self) -> bool:
        """Whether a rollback waits."""
        with self._lock:
            return isinstance(self._change, RollbackRequest)

    def take_check(self) -> bool:
        """Whether somebody wants a look."""
        with self._lock:
            wanted, self._check = self._check, False
        return wanted

    def take_pin(self) -> bool | None:
        """Whether somebody wants it pinned, or no longer."""
        with self._lock:
            wanted, self._pin = self._pin, None
        return wanted

    def _put(self, state: UpdateState, change: ChangeRequest) -> str | None:
        with self._lock:
            if reason := self._busy(state):
                return reason
            self._change = change
        self._wake()
        return None

    def _on_probation(self, state: UpdateState) -> str | None:
        if state.probation is None:
            return None
        return (
            f"{active_id(state, self._built_in)} is on probation: it can be rolled back, or replaced when that is over"
        )

    def _busy(self, state: UpdateState) -> str | None:
        if state.candidate is not None:
            return f"{state.candidate.id} is being installed ({state.candidate.stage})"
        if self._change is not None:
            return f"an order {self._change} is waiting"
        return None


log = logging.getLogger(__name__)

WITHDRAWN_REASON = "somebody asked to go back"


class UpdateCycle:
    """The updater's duties; used by its thread alone. Everything may raise Closing, as `beat` does."""

    def __init__(
        self,
        config: ModelsConfig,
        state_file: StateFile,
        store: Slots,
        stages: Steps,
        host: Host,
        orders: PendingRequests,
        *,
        built_in: BuiltInBundle,
        perceptd: str,
        rules: ProbationPolicy,
        beat: Beat,
    ) -> None:
        self._automatic, self._period_s = config.automatic, config.check_every_h * HOUR_S
        self._state_file, self._store, self._steps, self._host = state_file, store, stages, host
        self._orders, self._built_in, self._perceptd, self._rules, self._beat = orders, built_in, perceptd, rules, beat
        self._installer = Installer(state_file, store, stages, host, built_in)
        self._retreat = Rollback(state_file, store, host, built_in)
        self._probation: ProbationWatch | None = None
        self._doubt: str | None = None
        self._waits_for_clock = False
        self._schedule = Schedule(self._period_s, _monotonic_s())

    def begin(self) -> None:
        """Remove from the store what nobody needs; nothing goes while it is unknown what a next start would need."""
        if self._state_file.trouble is not None or not self._state_file.is_known:
            return
        try:
            self._store.sweep(self._state_file.state.kept)
        except UpdateError as error:
            log.error("%s", error)

    def round(self) -> bool:
        """Do what is due; says whether more may be."""
        self._state_file.retry()
        self._obey()
        state = self._state_file.state
        if state.probation is not None:
            return self._watch()
        if self._clock_is_behind():
            return False
        if state.candidate is not None:
            self._install(state.candidate)
            return True
        if self._orders.take_check():
            self._schedule.ask(_monotonic_s())
        if self._schedule.is_due(_monotonic_s()):
            self._look()
            return True
        return False

    def give_up(self, reason: str) -> None:
        """Whatever is being done fails in a way that nobody foresaw."""
        self._doubt = None if self._state_file.state.probation is None else reason
        self._schedule.failed(_monotonic_s())
        self._state_file.note(drop(self._state_file.state, reason, self._state_file.now_s()))

    def _obey(self) -> None:
        change = self._orders.take_change()
        if isinstance(change, InstallRequest):
            if self._state_file.state.probation is None:
                now_s = self._state_file.now_s()
                self._state_file.note(
                    begin_install(self._state_file.state, change.name, change.version, now_s, asked=True)
                )
        elif change is not None:
            self._state_file.note(drop(self._state_file.state, WITHDRAWN_REASON, self._state_file.now_s()))
            self._retreat.go("switch", "somebody asked for the one before it", self._beat)

    def _watch(self) -> bool:
        if self._probation is None:
            self._probation = ProbationWatch(self._state_file, self._host, self._rules)
        doubt, self._doubt = self._doubt, None
        verdict = self._probation.look() if doubt is None else Verdict("back", doubt)
        if verdict.decision == "wait":
            return False
        self._probation = None
        if verdict.decision == "back":
            self._retreat.go("probation", verdict.reason or "", self._beat)
        return True

    def _install(self, candidate: Candidate) -> None:
        self._probation = None
        if self._installer.run(candidate, self._beat):
            self._schedule.settled(_monotonic_s())
        else:
            self._schedule.failed(_monotonic_s())

    def _look(self) -> None:
        try:
            self._store.make()
            looked = self._steps.look(self._beat)
        except UpdateError as error:
            log.warning("the source of bundles: %s", error)
            self._state_file.note(note_failed_check(self._state_file.state, str(error), self._state_file.now_s()))
            self._schedule.failed(_monotonic_s())
            return
        for reason in looked.skipped:
            log.warning("the source of bundles: %s", reason)
        now_s = self._state_file.now_s()
        state = note_check(self._state_file.state, now_s, looked.releases)
        offer = automatic_offer(state, self._built_in, self._perceptd) if self._automatic else None
        if offer is None:
            self._schedule.settled(_monotonic_s())
        else:
            state = begin_install(state, offer.name, offer.version, now_s, asked=False)
        self._state_file.note(state)

    def _clock_is_behind(self) -> bool:
        state, now_s = self._state_file.state, self._state_file.now_s()
        reason = clock_problem(now_s, state.seen_time)
        if reason is None:
            if self._waits_for_clock:
                self._schedule.ask(_monotonic_s())
            self._waits_for_clock = False
            return False
        if not self._waits_for_clock or self._orders.take_check():
            self._waits_for_clock = True
            log.warning("%s", reason)
            self._state_file.note(note_failed_check(state, reason, now_s))
        return True


def _monotonic_s() -> float:
    return monotonic_ns() / NS_PER_S

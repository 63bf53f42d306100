"""What the updater does each time round: obeys, watches, installs, looks at the source."""

import logging

from daemon.bundles.choice import Own, to_try
from daemon.bundles.clock import clock_problem
from daemon.bundles.install import Installer
from daemon.bundles.journal import Ledger
from daemon.bundles.orders import Install, Orders
from daemon.bundles.ports import Beat, Host
from daemon.bundles.probation import Probation, Retreat
from daemon.bundles.rules import ProbationRules, Verdict
from daemon.bundles.schedule import HOUR_S, Schedule
from daemon.bundles.stages import Stages
from daemon.bundles.state import Candidate
from daemon.bundles.store import Store
from daemon.bundles.transitions import check_failed, checked, dropped, sought
from daemon.clock import NS_PER_S, monotonic_ns
from daemon.errors import UpdateError
from daemon.models_config import ModelsConfig

log = logging.getLogger(__name__)

WITHDRAWN = "somebody asked to go back"


class Rounds:
    """The updater's duties; used by its thread alone. Everything may raise Closing, as `beat` does."""

    def __init__(
        self,
        config: ModelsConfig,
        ledger: Ledger,
        store: Store,
        stages: Stages,
        host: Host,
        orders: Orders,
        *,
        own: Own,
        perceptd: str,
        rules: ProbationRules,
        beat: Beat,
    ) -> None:
        self._automatic, self._period_s = config.automatic, config.check_every_h * HOUR_S
        self._ledger, self._store, self._stages, self._host = ledger, store, stages, host
        self._orders, self._own, self._perceptd, self._rules, self._beat = orders, own, perceptd, rules, beat
        self._installer = Installer(ledger, store, stages, host, own)
        self._retreat = Retreat(ledger, store, host, own)
        self._probation: Probation | None = None
        self._doubt: str | None = None
        self._waits_for_clock = False
        self._schedule = Schedule(self._period_s, _monotonic_s())

    def begin(self) -> None:
        """Remove from the store what nobody needs; nothing goes while it is unknown what a next start would need."""
        if self._ledger.trouble is not None or not self._ledger.is_known:
            return
        try:
            self._store.sweep(self._ledger.state.kept)
        except UpdateError as error:
            log.error("%s", error)

    def round(self) -> bool:
        """Do what is due; says whether more may be."""
        self._ledger.retry()
        self._obey()
        state = self._ledger.state
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
        self._doubt = None if self._ledger.state.probation is None else reason
        self._schedule.failed(_monotonic_s())
        self._ledger.note(dropped(self._ledger.state, reason, self._ledger.now_s()))

    def _obey(self) -> None:
        change = self._orders.take_change()
        if isinstance(change, Install):
            if self._ledger.state.probation is None:
                now_s = self._ledger.now_s()
                self._ledger.note(sought(self._ledger.state, change.name, change.version, now_s, asked=True))
        elif change is not None:
            self._ledger.note(dropped(self._ledger.state, WITHDRAWN, self._ledger.now_s()))
            self._retreat.go("switch", "somebody asked for the one before it", self._beat)

    def _watch(self) -> bool:
        if self._probation is None:
            self._probation = Probation(self._ledger, self._host, self._rules)
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
            looked = self._stages.look(self._beat)
        except UpdateError as error:
            log.warning("the source of bundles: %s", error)
            self._ledger.note(check_failed(self._ledger.state, str(error), self._ledger.now_s()))
            self._schedule.failed(_monotonic_s())
            return
        for reason in looked.skipped:
            log.warning("the source of bundles: %s", reason)
        now_s = self._ledger.now_s()
        state = checked(self._ledger.state, now_s, looked.releases)
        offer = to_try(state, self._own, self._perceptd) if self._automatic else None
        if offer is None:
            self._schedule.settled(_monotonic_s())
        else:
            state = sought(state, offer.name, offer.version, now_s, asked=False)
        self._ledger.note(state)

    def _clock_is_behind(self) -> bool:
        state, now_s = self._ledger.state, self._ledger.now_s()
        reason = clock_problem(now_s, state.seen_time)
        if reason is None:
            if self._waits_for_clock:
                self._schedule.ask(_monotonic_s())
            self._waits_for_clock = False
            return False
        if not self._waits_for_clock or self._orders.take_check():
            self._waits_for_clock = True
            log.warning("%s", reason)
            self._ledger.note(check_failed(state, reason, now_s))
        return True


def _monotonic_s() -> float:
    return monotonic_ns() / NS_PER_S

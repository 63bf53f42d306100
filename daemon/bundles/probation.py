"""Watches a bundle that has taken over, and brings back the one before it."""

import logging
from pathlib import Path

from daemon.bundles.choice import Own
from daemon.bundles.journal import Ledger
from daemon.bundles.loading import loaded
from daemon.bundles.ports import Beat, Host
from daemon.bundles.rules import ProbationRules, Verdict, judge
from daemon.bundles.state import Slot
from daemon.bundles.store import Store
from daemon.bundles.transitions import confirmed, left, own_again, stays
from daemon.bundles.whole import check_whole
from daemon.clock import NS_PER_S, monotonic_ns
from daemon.errors import UpdateError
from daemon.records import UpdateStage

log = logging.getLogger(__name__)


class Probation:
    """The probation of one bundle, from here on: its time begins anew when the daemon was started meanwhile."""

    def __init__(self, ledger: Ledger, host: Host, rules: ProbationRules) -> None:
        self._ledger = ledger
        self._host = host
        self._rules = rules
        self._began_ns = monotonic_ns()
        self._windows_judged = 0

    def look(self) -> Verdict:
        """Judge the bundle now; one that is kept is confirmed."""
        state = self._ledger.state
        if state.probation is None or state.active is None:
            return Verdict("keep")
        now = self._host.vitals()
        elapsed_s = (monotonic_ns() - self._began_ns) / NS_PER_S
        verdict = judge(state.probation.before, now, elapsed_s, self._windows_judged, self._rules)
        self._windows_judged = max(self._windows_judged, now.moments // self._rules.window_moments)
        if verdict.decision == "keep":
            log.info("%s is confirmed", state.active.id)
            self._ledger.note(confirmed(state, self._ledger.now_s()))
        return verdict


class Retreat:
    """The way back to the bundle before the active one, or to the config's own."""

    def __init__(self, ledger: Ledger, store: Store, host: Host, own: Own) -> None:
        self._ledger = ledger
        self._store = store
        self._host = host
        self._own = own

    def go(self, stage: UpdateStage, reason: str, beat: Beat) -> None:
        """Leave the active bundle, which is refused from now on.

        What runs is switched first, for a disk may not let itself be written.
        """
        active, previous = self._ledger.state.active, self._ledger.state.previous
        if active is None:
            return
        log.warning("%s makes way: %s", active.id, reason)
        try:
            to_own = not (previous is not None and self._switched_to(previous, beat))
            if to_own:
                self._switch(self._own.directory, self._own.id, beat)
        except UpdateError as error:
            log.error("%s stays: there is no other to go back to: %s", active.id, error)
            reason = f"{reason}; and there is no other to go back to: {error}"
            self._ledger.note(stays(self._ledger.state, stage, reason, self._ledger.now_s()))
            return
        after = left(self._ledger.state, stage, reason, self._ledger.now_s())
        self._ledger.note(own_again(after) if to_own else after)

    def _switched_to(self, slot: Slot, beat: Beat) -> bool:
        directory = self._store.slot(slot.content)
        try:
            check_whole(directory, slot.content, beat)
            self._switch(directory, slot.id, beat)
        except UpdateError as error:
            log.error("%s cannot be used, the config's own takes over: %s", slot.id, error)
            return False
        return True

    def _switch(self, directory: Path, bundle: str, beat: Beat) -> None:
        commit = loaded(lambda: self._host.prepare(directory, bundle))
        beat()  # loading may take long: nothing is switched any more once the daemon stops
        commit()

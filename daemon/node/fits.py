"""Fits the taught labels after each change, one child process at a time, and has the result installed."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daemon.core.errors import ChildError
from daemon.core.files import remove
from daemon.core.timing import NS_PER_S
from daemon.node.fit_ports import FitOrder, FitResult, FitRunner, LocalInstaller, Outcome, RunningFit, finished
from daemon.node.fit_record import FitBasis, FitRecord, FitRecordFile
from daemon.node.taught_goal import Goal
from daemon.teaching.report import Report

log = logging.getLogger(__name__)

# Presses come in bursts. A fit begins once no change has come for QUIET_NS, at the latest after LONGEST_QUIET_NS.
QUIET_NS = 3 * NS_PER_S
LONGEST_QUIET_NS = 20 * NS_PER_S

# how long the updater may take to install the bundle of a fit
INSTALL_NS = 900 * NS_PER_S

# how often labels are fitted again of which the updater has lost or left the bundle
MAX_TRIES = 3

# after a fit or a request that something else prevented
RETRY_NS = 10 * NS_PER_S

# After a fit that failed for want of room or memory. A fit costs a minute of the slowest boards.
FAILED_NS = 600 * NS_PER_S

# waiting: a change waits for quiet, or for the updater; installing: the updater tries the bundle
Phase = Literal["idle", "waiting", "fitting", "installing"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be active: a fit of this basis onto the bundle `active`, which lies in `directory`.

    `number` is that of the active bundle's version; 0: nothing taught is active.
    """

    basis: FitBasis
    active: str
    directory: Path
    number: int
    goal: Goal


@dataclass(slots=True)
class _Run:
    """The fit that runs, or whose bundle the updater has not accepted yet."""

    basis: FitBasis
    bundle: str
    order: FitOrder
    began_ns: int
    child: RunningFit | None
    report: Report | None = None


class Fits:
    """Keeps the active bundle fitted to what was taught. Used by the thread `teaching`.

    A basis that could not be fitted is not tried again, until something changes or somebody asks. After a failure that
    may pass, it is tried again after FAILED_NS.
    """

    def __init__(
        self,
        runner: FitRunner,
        installer: LocalInstaller,
        file: FitRecordFile,
        directory: Path,
        quiet_ns: int = QUIET_NS,
        retry_ns: int = RETRY_NS,
    ) -> None:
        """`directory` takes the bundles until they are installed."""
        self._runner, self._installer, self._file = runner, installer, file
        self._directory = directory
        self._quiet_ns, self._retry_ns = quiet_ns, retry_ns
        self.phase: Phase = "idle"
        self._failure: str | None = None
        self._not_used: str | None = None
        self._run: _Run | None = None
        self._refused: FitBasis | None = None
        self._refused_until_ns: int | None = None
        self._left: FitBasis | None = None
        self._handed_over: Path | None = None
        self._tries = 0
        self._seen: FitBasis | None = None
        self._seen_ns = self._not_before_ns = self._accepted_ns = self._highest = 0
        self._differs_ns: int | None = None
        self._is_forced = self._is_loaded = False
        self._expected: FitRecord | None = None

    @property
    def problem(self) -> str | None:
        """Why the labels cannot be fitted, or why the latest fit is not active; None: it is, or it will be."""
        return self._failure or self._not_used

    @property
    def record(self) -> FitRecord:
        """The latest fit that the updater has accepted."""
        return self._file.record

    def load(self) -> None:
        """Read the latest fit from the disk, once. Raises OSError."""
        if not self._is_loaded:
            self._file.load()
            self._is_loaded = True

    def force(self) -> None:
        """Fit again although nothing has changed."""
        self._is_forced, self._refused, self._tries = True, None, 0

    def look(self, wanted: Wanted, now_ns: int) -> bool:
        """Do what is due; return whether phase, problem or record have changed. Raises OSError for the disk."""
        before = self.phase, self.problem, self.record
        if self._expected is not None:
            self._look_at_base(self._expected, wanted, now_ns)
        elif self._run is not None:
            self._go_on(self._run, wanted, now_ns)
        else:
            outcome = self._outcome(now_ns)
            if self.phase != "installing" and self._is_due(wanted, outcome, now_ns):
                self._tries += outcome.state == "void"
                self._begin(wanted, now_ns)
        return before != (self.phase, self.problem, self.record)

    def order(self, directory: Path, base: str, wanted: Wanted) -> FitOrder:
        """Return the order of the next version onto the bundle `base` in a directory."""
        known = self._installer.highest_number()
        number = max(wanted.number, self.record.number, self._highest, known) + 1
        self._highest = number  # a version that was refused is not used again
        self._remove_remains()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        version = f"{base.partition('@')[2]}+taught.{number}"
        return FitOrder(directory, self._directory / f"taught.{number}", version, number)

    def start(self, order: FitOrder) -> RunningFit:
        """Start a fit. Raises ChildError where no process can be started."""
        return self._runner.start(order)

    def expect(self, record: FitRecord, now_ns: int) -> None:
        """Note the fit of a bundle that is to be installed together with its base. Until then no other fit begins."""
        self._expected, self._accepted_ns = record, now_ns

    def close(self) -> None:
        """Kill the child process of a fit that runs. The next start fits again."""
        if self._run is not None and self._run.child is not None:
            self._run.child.close()
        self._run = None

    def _look_at_base(self, expected: FitRecord, wanted: Wanted, now_ns: int) -> None:
        """See whether a new base has become active together with its labels."""
        self.phase = "installing"
        is_active = expected.bundle == wanted.active
        if is_active:
            self._file.save(expected)
        outcome = self._installer.outcome(expected.bundle or "")
        if is_active or outcome.state == "failed" or now_ns - self._accepted_ns > INSTALL_NS:
            self._expected, self.phase = None, "idle"

    def _outcome(self, now_ns: int) -> Outcome:
        """Return what has become of the latest bundle. The phase is `installing` while the updater tries it."""
        bundle = self.record.bundle
        outcome = Outcome("active") if bundle is None else self._installer.outcome(bundle)
        self.phase, self._not_used = "idle", None
        if outcome.state == "active":
            self._tries = 0
        elif outcome.state != "pending":
            self._not_used = f"{bundle} is not used: {outcome.reason or 'its installation was interrupted'}"
        else:
            self._accepted_ns = self._accepted_ns or now_ns  # this node has been started since
            self._not_used = outcome.reason or None
            if now_ns - self._accepted_ns < INSTALL_NS:
                self.phase = "installing"
            else:
                self._not_used = outcome.reason or f"{bundle} still waits for its trial"
        return outcome

    def _is_due(self, wanted: Wanted, outcome: Outcome, now_ns: int) -> bool:
        if wanted.basis != self._seen:
            self._seen, self._seen_ns, self._tries = wanted.basis, now_ns, 0
            self._installer.derive_again()
        if self._refused_until_ns is not None and now_ns >= self._refused_until_ns:
            self._refused = self._refused_until_ns = None
        if self._is_done(wanted, outcome) or wanted.basis == self._refused:
            self.phase, self._differs_ns, self._is_forced = "idle", None, False
            if wanted.basis != self._refused:
                self._failure = None
            return False
        self.phase = "waiting"
        if self._differs_ns is None:
            self._differs_ns = now_ns
        is_quiet = now_ns - self._seen_ns >= self._quiet_ns or now_ns - self._differs_ns >= LONGEST_QUIET_NS
        return (is_quiet or self._is_forced) and now_ns >= self._not_before_ns

    def _is_done(self, wanted: Wanted, outcome: Outcome) -> bool:
        if wanted.goal.kind == "keep":
            return True
        if wanted.goal.kind == "base":
            return wanted.number == 0 or wanted.basis == self._left
        is_void = outcome.state == "void" and self._tries < MAX_TRIES
        is_made = self.record.bundle is not None and wanted.basis == self.record.basis
        return is_made and not is_void and not self._is_forced

    def _begin(self, wanted: Wanted, now_ns: int) -> None:
        if wanted.goal.kind == "base":
            self._return_to_base(wanted)
            return
        order = self.order(wanted.directory, wanted.basis.base, wanted)
        try:
            child = self.start(order)
        except ChildError as error:
            self._postpone(f"the labels cannot be fitted now: {error}", now_ns)
            return
        self._is_forced, self._differs_ns = False, None
        name = wanted.basis.base.partition("@")[0]
        self._run = _Run(wanted.basis, f"{name}@{order.version}", order, now_ns, child)
        self.phase = "fitting"

    def _return_to_base(self, wanted: Wanted) -> None:
        self._installer.install_base()
        self._is_forced, self._differs_ns, self._left = False, None, wanted.basis
        self._failure, self._not_used, self.phase = None, None, "idle"
        number = max(wanted.number, self.record.number, self._highest)
        self._file.save(FitRecord(number=number, basis=wanted.basis))

    def _go_on(self, run: _Run, wanted: Wanted, now_ns: int) -> None:
        # another bundle has become active meanwhile, or the labels were removed or lost
        if wanted.basis.base != run.basis.base or wanted.goal.kind != "fit":
            self.close()
            self.phase = "waiting"
        elif run.child is None:
            self._request(run, now_ns)
        else:
            self._look_at_child(run, run.child, now_ns)

    def _look_at_child(self, run: _Run, child: RunningFit, now_ns: int) -> None:
        try:
            result = finished(child, run.began_ns, now_ns)
        except ChildError as error:
            result = FitResult(None, f"the labels could not be fitted: {error}", may_pass=True)
        if result is None:
            return
        child.close()
        run.child, run.report = None, result.report
        if result.report is None:
            self._fail(run, result.reason, now_ns, may_pass=result.may_pass)
        else:
            self._request(run, now_ns)

    def _request(self, run: _Run, now_ns: int) -> None:
        """Have the updater install the bundle, or try again later: it may have other work."""
        if now_ns < self._not_before_ns:
            return
        reason = self._installer.install_local(run.order.target, run.bundle)
        if reason is None:
            self.phase, self._accepted_ns, self._run = "installing", now_ns, None
            self._failure = self._not_used = None
            self._handed_over = run.order.target
            record = FitRecord(number=run.order.number, basis=run.basis, bundle=run.bundle, report=run.report)
            self._file.save(record)
        elif now_ns - run.began_ns > INSTALL_NS:
            self._fail(run, reason, now_ns)
        else:
            self._postpone(reason, now_ns)

    def _remove_remains(self) -> None:
        """Remove the bundles of fits that were not installed. The updater removes what it was handed over."""
        if self._directory.is_symlink() or not self._directory.is_dir():
            remains = [self._directory] if os.path.lexists(self._directory) else []
        else:
            remains = [path for path in self._directory.iterdir() if path != self._handed_over]
        for path in remains:
            remove(path)

    def _fail(self, run: _Run, reason: str, now_ns: int, *, may_pass: bool = False) -> None:
        log.warning("teaching: %s", reason)
        self._run, self.phase, self._failure = None, "idle", reason
        self._refused, self._refused_until_ns = run.basis, now_ns + FAILED_NS if may_pass else None

    def _postpone(self, reason: str, now_ns: int) -> None:
        self.phase, self._failure, self._not_before_ns = "waiting", reason, now_ns + self._retry_ns

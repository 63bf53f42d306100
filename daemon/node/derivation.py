"""A new base: the labels that were taught are fitted onto it before it takes over, where its encoders are the same."""

import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.bundle.fingerprint import encoder_fingerprints
from daemon.config.teaching import TeachingConfig
from daemon.core.errors import ChildError, Refused, UpdateError
from daemon.core.records import Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.node.fit_ports import FitOrder, FitResult, RunningFit, finished
from daemon.node.fit_record import FitRecord
from daemon.node.fits import Fits, Wanted
from daemon.node.teaching_input import TaughtOnto, taught_onto
from daemon.teaching.blobs import differ
from daemon.teaching.records import ExampleInfo
from daemon.teaching.store import TeachingStore
from daemon.updates.steps import Beat, Derived

log = logging.getLogger(__name__)

POLL_S = 0.1

# a base waits so long for its labels, presses that are fitted before it included
DERIVE_NS = 900 * NS_PER_S

STOPPING = "the daemon is stopping"


@dataclass(slots=True, eq=False)
class NewBase:
    """A base that waits for its labels. The updater's thread waits for `done`; the thread `teaching` sets it."""

    directory: Path
    bundle: str
    done: threading.Event = field(default_factory=threading.Event)
    is_withdrawn: bool = False
    derived: Derived | None = None
    error: UpdateError | None = None

    def finish(self, derived: Derived | None = None, error: UpdateError | None = None) -> None:
        """Answer the updater."""
        self.derived, self.error = derived, error
        self.done.set()


class NewBases:
    """Hands a new base from the updater's thread to the thread `teaching`, and waits for the answer."""

    def __init__(self, *, can_teach: bool) -> None:
        """`can_teach` says whether a thread `teaching` takes the bases."""
        self._can_teach = can_teach
        self._lock = threading.Lock()
        self._waiting: NewBase | None = None
        self._is_closed = False

    def derive(self, directory: Path, bundle: str, beat: Beat) -> Derived | None:
        """Return what is to be installed in place of a new base; None: the base as it is. See Host.

        Runs on the updater's thread. Raises UpdateError of kind `waits`, and what `beat` raises.
        """
        if not self._can_teach:
            return None
        base, until_ns = NewBase(directory, bundle), monotonic_ns() + DERIVE_NS
        with self._lock:
            if self._is_closed:
                raise UpdateError("waits", STOPPING)
            self._waiting = base
        try:
            while not base.done.wait(POLL_S):
                beat()
                if monotonic_ns() > until_ns:
                    raise UpdateError("waits", "the taught labels could not be fitted onto it in time")
        finally:
            base.is_withdrawn = True
        if base.error is not None:
            raise base.error
        return base.derived

    def take(self) -> NewBase | None:
        """Return the base that waits, once."""
        with self._lock:
            base, self._waiting = self._waiting, None
            return base

    def close(self) -> None:
        """Let no base wait any longer."""
        with self._lock:
            self._is_closed = True
            base, self._waiting = self._waiting, None
        if base is not None:
            base.finish(error=UpdateError("waits", STOPPING))


@dataclass(slots=True)
class _Run:
    """A fit of the labels onto a new base."""

    base: NewBase
    onto: TaughtOnto
    order: FitOrder
    child: RunningFit
    began_ns: int


class Derivation:
    """Fits the labels onto new bases. Used by the thread `teaching`."""

    def __init__(self, bases: NewBases, fits: Fits, config: TeachingConfig) -> None:
        self._bases, self._fits, self._config = bases, fits, config
        self._run: _Run | None = None

    def look(self, store: TeachingStore, wanted: Wanted, active: TaughtOnto, now_ns: int) -> bool:
        """Do what is due; return whether a new base is being fitted, so that no other fit may begin.

        `wanted` is that of the active bundle.
        """
        if self._run is None and (base := self._bases.take()) is not None:
            self._begin(base, store, wanted, active, now_ns)
        if self._run is not None:
            self._go_on(self._run, wanted, now_ns)
        return self._run is not None

    def refuse(self, reason: str, active: TaughtOnto) -> None:
        """Answer a base that waits while the store cannot be read. It goes ahead where no taught label runs."""
        base = self._bases.take()
        if base is not None and active.taught:
            self._wait(base, reason)
        elif base is not None:
            base.finish()

    def close(self) -> None:
        """End a fit that runs; the base waits for the next start."""
        self._bases.close()
        if self._run is not None:
            self._run.child.close()
            self._run.base.finish(error=UpdateError("waits", STOPPING))
            self._run = None

    def _begin(self, base: NewBase, store: TeachingStore, wanted: Wanted, active: TaughtOnto, now_ns: int) -> None:
        goal = wanted.goal
        if not (goal.lost or store.examples()):
            base.finish()
            return
        try:
            bundle = load_bundle(base.directory)
            onto = taught_onto(bundle.manifest, base.directory, encoder_fingerprints(bundle))
        except Refused as error:
            base.finish(error=UpdateError("bundle", str(error)))
            return
        if any(onto.why_fixed(label) is None for label in goal.lost):
            self._wait(base, goal.reason or "")
        elif all(onto.why_fixed(each.label) is not None for each in store.examples()):
            log.info("teaching: %s has the taught labels itself", base.bundle)
            base.finish()
        elif (has_same_encoders := not differ(active.encoders, onto.encoders)) and goal.kind == "fit":
            self._start(base, onto, wanted, now_ns)
        elif has_same_encoders and goal.reason is not None:
            self._wait(base, goal.reason)
        elif has_same_encoders:
            log.info("teaching: %s is installed first, because no place of a label is known yet", base.bundle)
            base.finish()
        elif missing := lost_with(store, active, onto):
            self._wait(base, missing_text(missing, base.bundle))
        else:
            log.info("teaching: %s has other encoders: they encode the examples once it is active", base.bundle)
            base.finish()

    def _start(self, base: NewBase, onto: TaughtOnto, wanted: Wanted, now_ns: int) -> None:
        self._fits.close()  # one child process at a time
        order = self._fits.order(onto.directory, onto.base, wanted)
        try:
            child = self._fits.start(order)
        except ChildError as error:
            self._wait(base, f"the taught labels cannot be fitted onto it now: {error}")
            return
        self._run = _Run(base, onto, order, child, now_ns)

    def _go_on(self, run: _Run, wanted: Wanted, now_ns: int) -> None:
        try:
            result = finished(run.child, run.began_ns, now_ns)
        except ChildError as error:
            result = FitResult(None, str(error))
        if result is None and not run.base.is_withdrawn:
            return
        run.child.close()
        self._run = None
        if result is None:
            return
        if result.report is None:
            self._wait(run.base, f"the taught labels cannot be fitted onto it: {result.reason}")
            return
        bundle = f"{run.onto.base.partition('@')[0]}@{run.order.version}"
        basis = wanted.basis.model_copy(update={"base": run.onto.base})
        self._fits.expect(FitRecord(number=run.order.number, basis=basis, bundle=bundle, report=result.report), now_ns)
        run.base.finish(Derived(run.order.target, bundle))

    def _wait(self, base: NewBase, reason: str) -> None:
        """Let the base wait, or go ahead without the labels, as the config says."""
        if self._config.on_update == "keep":
            base.finish(error=UpdateError("waits", f"{reason}; teaching.on_update: drop installs it without them"))
        else:
            log.warning("teaching: %s is installed without the taught labels: %s", base.bundle, reason)
            base.finish()


def lost_with(store: TeachingStore, active: TaughtOnto, onto: TaughtOnto) -> list[ExampleInfo]:
    """Return the examples that the encoders of the bundle `onto` have not seen, and cannot encode again."""
    others = frozenset(store.others(onto.encoders))
    modalities = {**onto.modalities, **active.modalities}
    found = []
    for info in store.examples() if others else ():
        senses = {modalities[name] for name in store.encoders_of(info.id) if name in modalities}
        if info.id in others and not can_encode_again(info, senses, frozenset(onto.modalities.values())):
            found.append(info)
    return found


def can_encode_again(info: ExampleInfo, senses: Collection[Modality], new: Collection[Modality]) -> bool:
    """Return whether what is kept of an example lets new encoders take in what the press showed.

    `senses` are those of its embeddings; empty: unknown, because no bundle here has such encoders. `new` are those of
    the new encoders. Each sense that the new encoders have needs its picture or its sound; of text nothing is kept.
    """
    kept: dict[Modality, bool] = {"image": info.has_picture, "audio": info.has_sound, "text": False}
    needed = set(senses or [sense for sense, is_kept in kept.items() if is_kept]) & set(new)
    return bool(needed) and all(kept[sense] for sense in needed)


def missing_text(missing: Sequence[ExampleInfo], bundle: str) -> str:
    """Return why examples cannot be encoded by other encoders."""
    labels = ", ".join(sorted({each.label for each in missing}))
    examples = "1 example" if len(missing) == 1 else f"{len(missing)} examples"
    lack = "lacks" if len(missing) == 1 else "lack"
    return f"the encoders of {bundle} differ, and {examples} of {labels} {lack} the picture or sound to encode again"

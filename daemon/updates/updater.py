"""Replaces bundles, in a thread of its own: what others may ask of it, and see."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config.updates import ModelsConfig
from daemon.runtime.heartbeat import IDLE_S, Progress
from daemon.updates.cycle import WITHDRAWN, Orders, Rounds
from daemon.updates.messages import SourceRequest
from daemon.updates.policy import ProbationRules, active_id, newest
from daemon.updates.slots import MB, Store
from daemon.updates.startup import Start
from daemon.updates.state import State
from daemon.updates.steps import Closing, Host, Runner, Stages
from daemon.updates.transitions import closed, dropped, pinned

log = logging.getLogger(__name__)

PATIENCE_S = 120.0
"""A round may last so long: it writes to cards that stand still for many seconds, and loads a bundle."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to show.

    `latest` is the version of the newest release that can take over, or of the active bundle; `bytes_done` is of the
    latest download; `trouble` says why the state cannot be written, and is None while it can.
    """

    state: State
    latest: str
    bytes_done: int
    trouble: str | None


class Updater:
    """An order that is not taken is answered with the reason; none ever blocks, from whatever thread."""

    def __init__(
        self,
        config: ModelsConfig,
        start: Start,
        runner: Runner,
        host: Host,
        perceptd: str,
        config_path: Path | None = None,
        rules: ProbationRules = ProbationRules(),  # noqa: B008  (frozen)
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`perceptd` is this program's version, `config_path` the config that bundles must fit.

        `on_change` is called by the thread whenever there is something new to show. Raises ValueError without a source.
        """
        if config.source is None or config.root is None:
            raise ValueError("models.source is not set")
        self._own, self._ledger, self._perceptd, self._on_change = start.own, start.ledger, perceptd, on_change
        store = Store(start.directory, round(config.quota_mb * MB))
        origin = SourceRequest(source=config.source, root=config.root, metadata=str(store.metadata), perceptd=perceptd)
        self._stages = Stages(runner, origin, config_path)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._orders = Orders(start.own, perceptd, self._wake.set)
        self._rounds = Rounds(
            config,
            start.ledger,
            store,
            self._stages,
            host,
            self._orders,
            own=start.own,
            perceptd=perceptd,
            rules=rules,
            beat=self._beat,
        )
        self._shown_bytes = 0
        self._ledger.tell(on_change)
        self.progress = Progress("updater")
        self._thread = threading.Thread(target=self._run, name="updater", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, deadline_s: float) -> bool:
        """Give up what is being done, which the next start goes on with; says whether it ended in time."""
        self._closing.set()
        self._wake.set()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def status(self) -> Snapshot:
        """What there is to show."""
        state = self._ledger.state
        offer = newest(state, self._own, self._perceptd)
        latest = active_id(state, self._own).partition("@")[2] if offer is None else offer.version
        return Snapshot(state, latest, self._stages.bytes_done, self._ledger.trouble)

    def check(self) -> str | None:
        """Look at the source now."""
        return self._orders.check(self._ledger.state)

    def install(self, name: str | None = None, version: str | None = None) -> str | None:
        """Install a version: without a name of the active bundle, without a version the newest that is known."""
        return self._orders.install(self._ledger.state, name, version)

    def rollback(self) -> str | None:
        """Go back to the bundle before the active one, and leave this one alone."""
        return self._orders.rollback(self._ledger.state)

    def pin(self, on: bool) -> str | None:
        """Keep the active bundle until somebody asks for another, or no longer."""
        return self._orders.pin(on)

    def _run(self) -> None:
        self.progress.begin()
        self.progress.mark(PATIENCE_S)
        try:
            self._rounds.begin()
            while True:
                if not self._round():
                    self._wake.wait(IDLE_S)
                    self._wake.clear()
        except Closing:
            self._ledger.note(closed(self._ledger.state))

    def _round(self) -> bool:
        self._beat()
        try:
            return self._rounds.round()
        except Closing:
            raise
        except Exception as error:
            log.exception("the updater failed, and goes on")
            self._rounds.give_up(f"unforeseen: {type(error).__name__}: {error}")
            return False

    def _beat(self) -> None:
        self.progress.mark(PATIENCE_S)
        if self._closing.is_set():
            raise Closing
        if (on := self._orders.take_pin()) is not None:
            self._ledger.note(pinned(self._ledger.state, self._ledger.now_s(), on=on))
        if self._orders.wants_back and self._ledger.state.candidate is not None:
            self._ledger.note(dropped(self._ledger.state, WITHDRAWN, self._ledger.now_s()))
        done = self._stages.bytes_done
        if done != self._shown_bytes:
            self._shown_bytes = done
            self._on_change()

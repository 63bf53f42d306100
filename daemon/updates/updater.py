"""Replaces bundles, in a thread of its own: what others may ask of it, and see."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config.updates import ModelsConfig
from daemon.runtime.heartbeat import IDLE_S, Heartbeat
from daemon.updates.cycle import WITHDRAWN_REASON, PendingRequests, UpdateCycle
from daemon.updates.messages import SourceRequest
from daemon.updates.policy import ProbationPolicy, active_id, newer_offer
from daemon.updates.slots import MB, Slots
from daemon.updates.startup import Startup
from daemon.updates.state import UpdateState
from daemon.updates.steps import Closing, Host, Runner, Steps
from daemon.updates.transitions import drop, note_shutdown, pin

log = logging.getLogger(__name__)

PATIENCE_S = 120.0
"""A round may last so long: it writes to cards that stand still for many seconds, and loads a bundle."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to show.

    `latest` is the version of the newest release that can take over, or of the active bundle; `bytes_done` is of the
    latest download; `trouble` says why the state cannot be written, and is None while it can.
    """

    state: UpdateState
    latest: str
    bytes_done: int
    trouble: str | None


class Updater:
    """An order that is not taken is answered with the reason; none ever blocks, from whatever thread."""

    def __init__(
        self,
        config: ModelsConfig,
        start: Startup,
        runner: Runner,
        host: Host,
        perceptd: str,
        config_path: Path | None = None,
        rules: ProbationPolicy = ProbationPolicy(),  # noqa: B008  (frozen)
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`perceptd` is this program's version, `config_path` the config that bundles must fit.

        `on_change` is called by the thread whenever there is something new to show. Raises ValueError without a source.
        """
        if config.source is None or config.root is None:
            raise ValueError("models.source is not set")
        self._built_in, self._state_file, self._perceptd, self._on_change = (
            start.built_in,
            start.state_file,
            perceptd,
            on_change,
        )
        store = Slots(start.directory, round(config.quota_mb * MB))
        origin = SourceRequest(source=config.source, root=config.root, metadata=str(store.metadata), perceptd=perceptd)
        self._steps = Steps(runner, origin, config_path)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._orders = PendingRequests(start.built_in, perceptd, self._wake.set)
        self._cycle = UpdateCycle(
            config,
            start.state_file,
            store,
            self._steps,
            host,
            self._orders,
            built_in=start.built_in,
            perceptd=perceptd,
            rules=rules,
            beat=self._beat,
        )
        self._shown_bytes = 0
        self._state_file.tell(on_change)
        self.progress = Heartbeat("updater")
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
        state = self._state_file.state
        offer = newer_offer(state, self._built_in, self._perceptd)
        latest = active_id(state, self._built_in).partition("@")[2] if offer is None else offer.version
        return Snapshot(state, latest, self._steps.bytes_done, self._state_file.trouble)

    def check(self) -> str | None:
        """Look at the source now."""
        return self._orders.check(self._state_file.state)

    def install(self, name: str | None = None, version: str | None = None) -> str | None:
        """Install a version: without a name of the active bundle, without a version the newest that is known."""
        return self._orders.install(self._state_file.state, name, version)

    def rollback(self) -> str | None:
        """Go back to the bundle before the active one, and leave this one alone."""
        return self._orders.rollback(self._state_file.state)

    def pin(self, on: bool) -> str | None:
        """Keep the active bundle until somebody asks for another, or no longer."""
        return self._orders.pin(on)

    def _run(self) -> None:
        self.progress.begin()
        self.progress.mark(PATIENCE_S)
        try:
            self._cycle.begin()
            while True:
                if not self._round():
                    self._wake.wait(IDLE_S)
                    self._wake.clear()
        except Closing:
            self._state_file.note(note_shutdown(self._state_file.state))

    def _round(self) -> bool:
        self._beat()
        try:
            return self._cycle.round()
        except Closing:
            raise
        except Exception as error:
            log.exception("the updater failed, and goes on")
            self._cycle.give_up(f"unforeseen: {type(error).__name__}: {error}")
            return False

    def _beat(self) -> None:
        self.progress.mark(PATIENCE_S)
        if self._closing.is_set():
            raise Closing
        if (on := self._orders.take_pin()) is not None:
            self._state_file.note(pin(self._state_file.state, self._state_file.now_s(), on=on))
        if self._orders.wants_back and self._state_file.state.candidate is not None:
            self._state_file.note(drop(self._state_file.state, WITHDRAWN_REASON, self._state_file.now_s()))
        done = self._steps.bytes_done
        if done != self._shown_bytes:
            self._shown_bytes = done
            self._on_change()

"""Looks whether the directory of the active bundle still holds what runs, on a thread of its own."""

import logging
import threading
from collections.abc import Callable

from daemon.bundle.changes import DirectoryCheck, changes_text
from daemon.node.active_bundle import ActiveBundle
from daemon.runtime.heartbeat import NO_LIMIT_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = logging.getLogger(__name__)

# a look takes a few calls of stat; a person who has copied files sees the effect at once
LOOK_EVERY_S = 1.0


class BundleWatch:
    """One thread, named `bundle-watch`. It alone waits for the bundle's disk, which may hang without harm.

    `change` says in words how the directory differs from what runs; None: it does not.
    """

    def __init__(self, active: ActiveBundle, on_change: Callable[[], None]) -> None:
        """`on_change` is called when `change` has another value."""
        self.change: str | None = None
        self._active, self._on_change = active, on_change
        self._stop = threading.Event()
        self.progress = Heartbeat("bundle-watch")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, deadline_s: float) -> bool:
        """Stop the thread; return whether it ended in time."""
        self._stop.set()
        return self._thread.join(deadline_s)

    def _run(self) -> None:
        self.progress.mark(NO_LIMIT_S)
        check: DirectoryCheck | None = None
        while not self._stop.is_set():
            bundle = self._active.recogniser.bundle
            if check is None or check.bundle is not bundle:
                check = DirectoryCheck(bundle)
            self._show(changes_text(bundle, check.changes()))
            self._stop.wait(LOOK_EVERY_S)

    def _show(self, change: str | None) -> None:
        if change == self.change:
            return
        if change is None:
            log.info("the directory of the bundle holds again what runs")
        elif self.change is None:
            log.warning("%s", change)
        self.change = change
        self._on_change()

"""Keeps a source running: starts it in a thread, and again after it fails, with backoff."""

import logging
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from daemon.clock import monotonic_ns
from daemon.errors import SourceError
from daemon.ports import Deliver, Source
from daemon.records import Captured
from daemon.redact import redact
from daemon.runtime.backoff import Backoff

log = logging.getLogger(__name__)

State = Literal["starting", "running", "waiting", "ended", "stopped"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """What `health` says of a source: its state since when, why it last failed, and how often it has."""

    state: State
    since_ns: int
    reason: str | None = None
    failures: int = 0


class SupervisedSource:
    """One source in a thread of its own.

    It is `running` once it delivers, `waiting` between a failure and the next try, and `ended` when it has come to its
    end by itself. `on_change` is called, from the source's thread, whenever the status changes, `on_end` when the
    source has come to its end or was stopped. A source that does not resume has also ended when it fails after it has
    delivered.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        deliver: Deliver,
        *,
        on_change: Callable[[], None],
        on_end: Callable[[], None] | None = None,
        resumes: bool = True,
    ) -> None:
        self._name = name
        self._source = source
        self._deliver = deliver
        self._on_change = on_change
        self._on_end = on_end
        self._resumes = resumes
        self._backoff = Backoff()
        self._told: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.status = SourceStatus("starting", monotonic_ns())

    def start(self) -> None:
        """Begin to run the source."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the source to return."""
        self._stop.set()

    def join(self, deadline_s: float) -> bool:
        """Wait for the source to return; says whether it did within the deadline."""
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            reason = self._run_once()
            if self._stop.is_set():
                break
            if reason is None:
                self._end("ended")
                return
            self.status = replace(self.status, reason=reason, failures=self.status.failures + 1)
            if self.status.state == "running" and not self._resumes:
                log.error("%s: %s; what it has delivered cannot be taken up again", self._name, reason)
                self._end("ended")
                return
            if reason != self._told:
                log.warning("%s: %s; it is tried again and again", self._name, reason)
                self._told = reason
            self._change("waiting")
            self._stop.wait(self._backoff.next_s())
        self._end("stopped")

    def _end(self, state: State) -> None:
        try:
            if self._on_end is not None:
                self._on_end()
        except Exception:
            log.exception("%s: ending failed", self._name)
        finally:
            self._change(state)

    def _run_once(self) -> str | None:
        """Run the source until it returns; gives why it failed, or None when it ended by itself."""
        try:
            self._source.run(self._pass_on, self._stop)
        except SourceError as error:
            return redact(str(error))
        except Exception as error:  # noqa: BLE001  (logged whole, but for credentials)
            log.error("%s: failed in an unforeseen way\n%s", self._name, redact(traceback.format_exc()))
            return redact(f"{type(error).__name__}: {error}")
        return None

    def _pass_on(self, captured: Captured) -> None:
        if self.status.state != "running":
            self._backoff.reset()
            self._told = None
            self._change("running")
            log.info("%s: delivers", self._name)
        self._deliver(captured)

    def _change(self, state: State) -> None:
        self.status = replace(self.status, state=state, since_ns=monotonic_ns())
        self._on_change()

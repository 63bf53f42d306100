"""Keeps a source running: in a thread, and again after it has failed, has ceased to deliver, or delivers nonsense."""

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Literal

from daemon.core.errors import SourceError
from daemon.core.ports import Deliver, Source
from daemon.core.records import Captured, modality_of
from daemon.core.text import redact
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.runtime.heartbeat import IDLE_S
from daemon.runtime.liveness import DELIVERS, Complaint, Expectation, Liveness, SourceStatus

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 0.75
"""What comes back is to deliver again within two seconds."""

LOOKS_NS = NS_PER_S
"""Looks come several times in this time; where one comes later the program itself was held up."""

Inspect = Callable[[Captured], Complaint | None]


def _finds_nothing(_: Captured) -> Complaint | None:
    return None


class SupervisedSource:
    """One source in a thread of its own, its status, and what is done when it fails.

    `on_change` is called whenever the status changes, `on_end` when the source has come to its end or was stopped, both
    from any thread. With a watch the source must deliver: whoever owns it calls `check` several times a second. A source
    that does not resume has also ended when it fails after it has delivered.
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
        expectation: Expectation | None = None,
        inspect: Inspect = _finds_nothing,
    ) -> None:
        self._name = name
        self._source = source
        self._deliver = deliver
        self._on_change = on_change
        self._on_end = on_end
        self._resumes = resumes
        self._inspect = inspect
        self._backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._told: str | None = None
        self._lock = threading.Lock()
        self._liveness = Liveness(expectation, monotonic_ns())
        self._looked_ns = monotonic_ns()
        self._stop = threading.Event()
        self._close = threading.Event()
        self._resumed = threading.Event()
        self._resumed.set()
        self._was_paused = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def status(self) -> SourceStatus:
        """A snapshot; callable from any thread."""
        return self._liveness.status

    @property
    def drift_ppm(self) -> float | None:
        """How fast the source's clock runs against this machine's, where that is known."""
        return self._source.drift_ppm

    def start(self) -> None:
        """Begin to run the source."""
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the source to return, for good."""
        self._stop.set()
        self._resumed.set()
        with self._lock:
            self._close.set()

    def pause(self) -> None:
        """Close the source and keep it closed until `resume`. Does not wait for that: the status says when it is."""
        with self._lock:
            self._was_paused = True
            self._resumed.clear()
            self._close.set()

    def resume(self) -> None:
        """Open the source again, if it was paused."""
        self._resumed.set()

    def join(self, deadline_s: float) -> bool:
        """Wait for the source to return; says whether it did within the deadline."""
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def check(self) -> None:
        """See whether the source still delivers; one that does not is closed, to be opened again. Never blocks."""
        before, now_ns = self.status, monotonic_ns()
        held_up_ns, self._looked_ns = now_ns - self._looked_ns - LOOKS_NS, now_ns
        with self._lock:
            if held_up_ns > 0:
                self._liveness.excuses(held_up_ns)
            if self._liveness.looks(now_ns):
                self._close.set()
        self._tell_of_change(before)

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._resumed.is_set():
                self._wait_paused()
                continue
            delivered, reason = self._run_once()
            if self._stop.is_set():
                break
            if self._was_paused:  # even if it is resumed by now: it returned because it was closed
                continue
            before = self.status
            with self._lock:
                opens_again = self._liveness.returns(reason, monotonic_ns())
            if not opens_again:
                self._end("ended")
                return
            if self.status.state == "backing_off":
                if delivered and not self._resumes:
                    log.error("%s: %s; what it has delivered cannot be taken up again", self._name, self.status.reason)
                    self._end("ended")
                    return
                self._tell_of_change(before)
                self._stop.wait(self._backoff.next_s())
        self._end("stopped")

    def _run_once(self) -> tuple[bool, str | None]:
        """Run the source until it returns; gives whether it delivered, and why it failed, or None when it did not."""
        with self._lock:
            self._close = threading.Event()
            self._was_paused = not self._resumed.is_set()
            if self._stop.is_set() or self._was_paused:
                self._close.set()
            self._liveness.opens(monotonic_ns())
        reason = None
        try:
            self._source.run(self._pass_on, self._close)
        except SourceError as error:
            reason = redact(str(error))
        except Exception as error:  # noqa: BLE001  (logged whole, but for credentials)
            log.error("%s: failed in an unforeseen way\n%s", self._name, redact(traceback.format_exc()))
            reason = redact(f"{type(error).__name__}: {error}")
        return self.status.state in DELIVERS, reason

    def _wait_paused(self) -> None:
        before = self.status
        with self._lock:
            self._liveness.pauses(monotonic_ns())
        self._tell_of_change(before)
        while not self._resumed.wait(IDLE_S):
            pass

    def _pass_on(self, captured: Captured) -> None:
        before, complaint = self._liveness.status, self._inspect(captured)
        with self._lock:
            self._liveness.delivers(modality_of(captured), complaint, monotonic_ns())
        self._tell_of_change(before)
        self._deliver(captured)

    def _end(self, state: Literal["ended", "stopped"]) -> None:
        try:
            if self._on_end is not None:
                self._on_end()
        except Exception:
            log.exception("%s: ending failed", self._name)
        finally:
            with self._lock:
                self._liveness.ends(state, monotonic_ns())
            self._on_change()

    def _tell_of_change(self, before: SourceStatus) -> None:
        status = self._liveness.status
        if status is before or status == before:
            return
        if status.state in ("healthy", "paused"):
            self._backoff.reset()
            self._told = None
            log.info("%s: %s", self._name, "delivers" if status.state == "healthy" else "is paused: closed")
        elif status.state != "recovering" and status.reason != self._told:
            self._told = status.reason
            what = "is opened again and again" if status.state in ("stalled", "backing_off") else "is used as it is"
            log.warning("%s: %s; it %s", self._name, status.reason, what)
        self._on_change()

"""Runs a source in a thread, and reopens it after a failure, a stall or unusable content."""

import logging
import threading
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from daemon.core.errors import RecordingError, SourceError
from daemon.core.media import DecoderStatus
from daemon.core.ports import Deliver, Source
from daemon.core.records import Captured, Counters, Modality, modality_of
from daemon.core.text import redact
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.runtime.heartbeat import IDLE_S, NO_LIMIT_S, Heartbeat
from daemon.runtime.liveness import DELIVERS, Complaint, Expectation, Liveness, SourceStatus
from daemon.runtime.processor import ProcessorShare
from daemon.runtime.thread_loop import LoopThread
from daemon.runtime.usage import UsageJudge

log = logging.getLogger(__name__)

# a source that works again must deliver within two seconds
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 0.75

# `check` is called several times in this time; after a longer gap the program itself was suspended
MAX_CHECK_GAP_NS = NS_PER_S

# returns what is wrong with the content of a delivery, None for nothing
Inspect = Callable[[Captured], Complaint | None]


class SupervisedSource:
    """Runs one source in its own thread, and tracks its status.

    `on_change` is called at every change of the status, `on_end` when the source has ended or was stopped, both from
    any thread. With an expectation the source must deliver, and its owner calls `check` several times a second.
    `judges` judge the use of its modalities. A source with `resumes=False` has ended when it fails after a delivery, or
    when its file is damaged. `has_failed` is then set.
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
        inspect: Inspect | None = None,
        judges: Mapping[Modality, UsageJudge] = MappingProxyType({}),
    ) -> None:
        self._name = name
        self._source = source
        self._deliver = deliver
        self._on_change = on_change
        self._on_end = on_end
        self._resumes = resumes
        self.has_failed = False
        self._inspect = inspect
        self._judges = judges
        self._backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._logged_reason: str | None = None
        self._lock = threading.Lock()
        self._liveness = Liveness(expectation, monotonic_ns())
        self._checked_ns = monotonic_ns()
        self._stop = threading.Event()
        self._close = threading.Event()
        self._resumed = threading.Event()
        self._resumed.set()
        self._was_paused = False
        self._pause_reason: str | None = None
        self.heartbeat = Heartbeat(name)
        self._thread = LoopThread(self.heartbeat, self._run)

    @property
    def status(self) -> SourceStatus:
        """Return a snapshot; callable from any thread."""
        return self._liveness.status

    @property
    def drift_ppm(self) -> float | None:
        """Return the speed of the source's clock against this machine's, in parts per million; None: unknown."""
        return self._source.drift_ppm

    @property
    def decoder(self) -> DecoderStatus | None:
        """Return what decodes the coded pictures of the source; None: there are none, or not known yet."""
        return self._source.decoder

    def start(self) -> None:
        """Start the thread."""
        self.heartbeat.mark(NO_LIMIT_S)
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the source to return; it is not opened again."""
        self._stop.set()
        self._resumed.set()
        with self._lock:
            self._close.set()

    def pause(self, reason: str | None = None) -> None:
        """Close the source until `resume`. Does not wait: the status becomes `paused` when it is closed.

        `reason` says why, where no command has closed this source itself.
        """
        before = self.status
        with self._lock:
            self._pause_reason = reason
            self._was_paused = True
            self._resumed.clear()
            self._close.set()
            if before.state == "paused":
                self._liveness.on_pause(monotonic_ns(), reason)
        self._report_change(before)

    def resume(self) -> None:
        """Open a paused source again."""
        self._resumed.set()

    def join(self, deadline_s: float) -> bool:
        """Wait for the thread; return whether it ended within the deadline."""
        return self._thread.join(deadline_s)

    def check(self, counters: Mapping[Modality, Counters], processor: ProcessorShare) -> None:
        """Judge whether its deliveries come and are used. Never blocks.

        When they are missing the source is closed; its thread then reopens it.
        """
        before, now_ns = self.status, monotonic_ns()
        delay_ns, self._checked_ns = now_ns - self._checked_ns - MAX_CHECK_GAP_NS, now_ns
        with self._lock:
            if delay_ns > 0:
                self._liveness.excuse(delay_ns)
            for modality, judge in self._judges.items():
                complaint = judge.look(counters[modality], now_ns, processor.is_short)
                self._liveness.on_use(modality, complaint, now_ns)
            if self._liveness.check(now_ns):
                self._close.set()
        self._report_change(before)

    def _run(self) -> None:
        self.heartbeat.mark(NO_LIMIT_S)  # `check` notices a source that hangs
        while not self._stop.is_set():
            if not self._resumed.is_set():
                self._wait_paused()
                continue
            can_resume, reason = self._run_once()
            if self._stop.is_set():
                break
            if self._was_paused:  # even when it is resumed by now: it returned because it was closed
                continue
            before = self.status
            with self._lock:
                opens_again = self._liveness.on_return(reason, monotonic_ns())
            if not opens_again:
                self._end("ended")
                return
            if self.status.state == "backing_off":
                if not (can_resume or self._resumes):
                    self.has_failed = True
                    log.error("%s: %s; the source cannot resume and has ended", self._name, self.status.reason)
                    self._end("ended")
                    return
                self._report_change(before)
                self._stop.wait(self._backoff.next_s())
        self._end("stopped")

    def _run_once(self) -> tuple[bool, str | None]:
        """Run the source until it returns. Return whether it loses nothing by beginning anew, and why it failed."""
        with self._lock:
            self._close = threading.Event()
            self._was_paused = not self._resumed.is_set()
            if self._stop.is_set() or self._was_paused:
                self._close.set()
            self._liveness.on_opening(monotonic_ns())
        reason, is_damaged = None, False
        try:
            self._source.run(self._forward, self._close)
        except SourceError as error:
            reason, is_damaged = redact(str(error)), isinstance(error, RecordingError)
        except Exception as error:  # noqa: BLE001  (logged without credentials)
            log.error("%s: unexpected error\n%s", self._name, redact(traceback.format_exc()))
            reason = redact(f"{type(error).__name__}: {error}")
        return not is_damaged and self.status.state not in DELIVERS, reason

    def _wait_paused(self) -> None:
        before = self.status
        with self._lock:
            self._liveness.on_pause(monotonic_ns(), self._pause_reason)
        self._report_change(before)
        while not self._resumed.wait(IDLE_S):
            pass

    def _forward(self, captured: Captured) -> None:
        before = self._liveness.status
        complaint = None if self._inspect is None else self._inspect(captured)
        with self._lock:
            self._liveness.on_delivery(modality_of(captured), complaint, monotonic_ns())
        self._report_change(before)
        self._deliver(captured)

    def _end(self, state: Literal["ended", "stopped"]) -> None:
        try:
            if self._on_end is not None:
                self._on_end()
        except Exception:
            log.exception("%s: the handling of its end failed", self._name)
        finally:
            with self._lock:
                self._liveness.on_end(state, monotonic_ns())
            self._on_change()

    def _report_change(self, before: SourceStatus) -> None:
        status = self._liveness.status
        if status is before or status == before:
            return
        if status.state in ("healthy", "paused"):
            self._backoff.reset()
            self._logged_reason = None
            log.info("%s: %s", self._name, "delivers" if status.state == "healthy" else "is paused")
        elif status.state != "recovering" and status.reason != self._logged_reason:
            self._logged_reason = status.reason
            consequence = (
                "it is reopened until it works" if status.state in ("stalled", "backing_off") else "it stays in use"
            )
            log.warning("%s: %s; %s", self._name, status.reason, consequence)
        self._on_change()

"""One accelerator: its process is started, verified, used, checked, and replaced when it fails."""

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np

from daemon.core.errors import AcceleratorError, ChildError
from daemon.core.records import CPU, Tensor
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.inference.accelerator_process import AcceleratorProcess, SharedInputs
from daemon.inference.accelerator_status import AcceleratorState, AcceleratorStatus, StatusHistory
from daemon.inference.placement import Device
from daemon.inference.upkeep import Upkeep
from daemon.inference.verification import Invoker, Verifier, Workload
from daemon.runtime.child import Child
from daemon.runtime.heartbeat import HANG_AFTER_S, IDLE_S, Heartbeat
from daemon.runtime.thread_loop import SYSTEM_ERRORS, LoopThread

log = logging.getLogger(__name__)

# An Edge TPU loads its models in 3 s. A GPU that compiles its programs takes half a minute.
LOAD_S = 60.0

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 60.0

# A failure after so long in use starts a new backoff: the first retry is soon.
STEADY_NS = 30 * NS_PER_S

# How often the daemon looks whether an absent device is there. A look costs nothing.
ABSENT_S = 2.0

# How often an idle accelerator is checked, so that the health message is right.
IDLE_CHECK_NS = 60 * NS_PER_S

# Stands for an output that the accelerator's model lacks.
NO_OUTPUT: Tensor = np.empty(0, np.float32)

# How long one model waits for the invoke of another. Every invoke has a deadline, so longer is never needed.
TURN_S = 1.0


class Accelerator:
    """Runs workloads in a child process, from `start` until `close`.

    The CPU fallback of each workload reads its input from the shared memory, from construction on. The CPU computes
    every input for which the accelerator gives no output.
    """

    def __init__(
        self,
        device: Device,
        workloads: Sequence[Workload],
        *,
        check_every_ns: int,
        upkeep: Upkeep | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """`check_every_ns` is the maximum age of the latest check when an output is returned.

        Raises ChildError without memory, ModelError when a CPU fallback does not run.
        """
        self.device = device
        self.models = [work.model for work in workloads]
        self._check_every_ns = check_every_ns
        self._upkeep = upkeep
        self._backoff = backoff or Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        live = [work.cpu_fallback.input for work in workloads]
        self._inputs = SharedInputs(live, [work.test_inputs for work in workloads])
        self.verifiers = [Verifier(work, self._inputs, model) for model, work in enumerate(workloads)]
        self._history = StatusHistory(monotonic_ns())
        self._turn = threading.Lock()
        self._process: AcceleratorProcess | None = None
        self._fault: ChildError | None = None
        self._child: Child | None = None
        self._was_used = False
        self._wake, self._stop = threading.Event(), threading.Event()
        self._on_change: Callable[[], None] | None = None
        self.progress = Heartbeat(f"accelerator-{device.name}")
        self._thread = LoopThread(self.progress, self._run)

    @property
    def status(self) -> AcceleratorStatus:
        """A snapshot; callable from any thread."""
        return self._history.status

    def start(self, on_change: Callable[[], None] | None = None) -> None:
        """Start the accelerator's thread, which calls `on_change` whenever the status changes."""
        self._on_change = on_change
        self._thread.start()

    def request_close(self) -> None:
        """Ask the thread to end its process, then itself."""
        self._stop.set()
        self._wake.set()

    def close(self, deadline_s: float) -> bool:
        """End the process and the thread. Returns whether they ended within the deadline."""
        self.request_close()
        return self._thread.join(deadline_s)

    def invoke(self, model: int) -> list[Tensor] | None:
        """Return a workload's outputs for its live input; None when the CPU must compute them.

        Each workload has one thread that calls this.
        """
        outputs = self._invoke_in_turn(model)
        if outputs is None:
            self.verifiers[model].counts.on_cpu += 1
        else:
            self.verifiers[model].counts.ran += 1
        return outputs

    def _invoke_in_turn(self, model: int) -> list[Tensor] | None:
        if self._process is None or not self._turn.acquire(timeout=TURN_S):
            return None
        try:
            if (process := self._process) is None:
                return None
            verifier = self.verifiers[model]
            outputs = verifier.invoke(process, self._check_every_ns)
            if (slowness := verifier.slowness()) is not None:
                self._withdraw(slowness)
            return outputs
        except ChildError as error:
            self._withdraw(error)
            return None
        finally:
            self._turn.release()

    def _withdraw(self, error: ChildError) -> None:
        """Stop using the process. The accelerator's thread replaces it."""
        self._process, self._fault = None, error
        self._wake.set()

    def _run(self) -> None:
        device = self.device
        while not self._stop.is_set():
            try:
                self._run_process(device)
            except AcceleratorError as error:
                wait_s = self._note_failure(error)
            except ChildError as error:
                wait_s = self._note_failure(AcceleratorError.from_child("died", error))
            except SYSTEM_ERRORS as error:
                wait_s = self._note_failure(AcceleratorError("died", f"{type(error).__name__}: {error}"))
            else:
                continue
            if device.alternative is None or self._was_used or self.status.state == "absent":
                device = self.device
                self._wait(wait_s)
            else:
                device = device.alternative
        self._enter("stopped", None)
        self._inputs.close()

    def _run_process(self, device: Device) -> None:
        """Start a process, verify it, and let it be used until `close`. Raises ChildError when it fails."""
        self._was_used = False
        if self._upkeep is not None and (absence := self._upkeep.absence()) is not None:
            raise AcceleratorError("absent", absence)
        if self._child is not None:
            self._child.check_gone()
        for verifier in self.verifiers:
            verifier.use_device(device)
        self.progress.mark(LOAD_S + HANG_AFTER_S)
        if self._upkeep is not None and self._history.has_failed:
            self._upkeep.reset()
            self.progress.mark(LOAD_S + HANG_AFTER_S)
        self._enter("starting", self.status.reason)
        with AcceleratorProcess(device, self.models, self._inputs) as process:
            self._child = process.child
            process.wait_until_loaded(LOAD_S, self._stop)
            for verifier in self.verifiers:
                verifier.verify(process, self._may_continue)
            if not self._stop.is_set():
                self._offer(process)

    def _may_continue(self, seconds: float) -> bool:
        self.progress.mark(seconds + HANG_AFTER_S)
        return not self._stop.is_set()

    def _offer(self, process: AcceleratorProcess) -> None:
        """Let `invoke` use the process until `close`. Raises ChildError when it fails."""
        self._fault = None
        self._wake.clear()
        with self._turn:
            self._process = process
        self._was_used = True
        self._enter("in_use", None)
        try:
            self._watch(process)
        finally:
            with self._turn:
                self._process = None

    def _watch(self, process: AcceleratorProcess) -> None:
        while not self._stop.is_set():
            if self._wake.wait(IDLE_S) and self._fault is not None:
                raise self._fault
            process.child.check_running()
            for verifier in self.verifiers:
                self.progress.mark()
                with self._turn:
                    self._check_idle(process, verifier)

    def _check_idle(self, process: Invoker, verifier: Verifier) -> None:
        if self._process is None:
            return
        try:
            verifier.check(process, IDLE_CHECK_NS)
        except ChildError:
            # Before the turn ends: a late output of this check must not be taken for the output of the next invoke.
            self._process = None
            raise

    def _note_failure(self, error: AcceleratorError) -> float:
        """Note a failure. Returns the wait before the next try, in seconds."""
        reason = str(error)
        if error.kind == "absent":
            self._enter("absent", reason)
            return ABSENT_S
        before, now_ns = self.status, monotonic_ns()
        if before.state == "in_use" and now_ns - before.since_ns >= STEADY_NS:
            self._backoff.reset()
        if reason != before.reason:
            log.warning("%s: %s; the CPU computes until a retry succeeds", self.device.name, reason)
        self._history.fail(error, now_ns)
        self._report_change()
        return self._backoff.next_s()

    def _enter(self, state: AcceleratorState, reason: str | None) -> None:
        if not self._history.enter(state, reason, monotonic_ns()):
            return
        if state in ("in_use", "absent"):
            names = ", ".join(verifier.encoder for verifier in self.verifiers)
            log.info("%s: %s", self.device.name, reason or f"runs {names}")
        self._report_change()

    def _report_change(self) -> None:
        if self._on_change is not None:
            self._on_change()

    def _wait(self, seconds: float) -> None:
        end_ns = monotonic_ns() + round(seconds * NS_PER_S)
        while (remaining_ns := end_ns - monotonic_ns()) > 0 and not self._stop.is_set():
            self.progress.mark()
            self._stop.wait(min(IDLE_S, remaining_ns / NS_PER_S))


class FallbackModel:
    """Implements `Model`: the accelerator computes the outputs, or the CPU does when the accelerator does not."""

    def __init__(self, accelerator: Accelerator, model: int, work: Workload) -> None:
        """`model` is the number of the workload in the accelerator."""
        self._accelerator = accelerator
        self._model = model
        self._cpu_fallback = work.cpu_fallback
        self._count, self._positions = len(work.cpu_outputs), work.positions
        self.input: Tensor = work.cpu_fallback.input
        self.device = CPU

    def invoke(self) -> list[Tensor]:
        """Return the outputs for `input`. One that the accelerator's model lacks is empty.

        Raises ModelError when the CPU must compute and fails.
        """
        computed = self._accelerator.invoke(self._model)
        if computed is None:
            self.device = CPU
            return self._cpu_fallback.invoke()
        self.device = self._accelerator.device.name
        outputs = [NO_OUTPUT] * self._count
        for position, output in zip(self._positions, computed, strict=True):
            outputs[position] = output
        return outputs

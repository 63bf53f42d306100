"""One accelerator: its process is started, examined, used, watched, and replaced when it fails."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.core.errors import AcceleratorError, ChildError
from daemon.core.records import CPU, Tensor
from daemon.core.timing import NS_PER_S, Backoff, monotonic_ns
from daemon.inference.accelerator_process import AcceleratorProcess, SharedInputs
from daemon.inference.accelerator_status import AcceleratorState, AcceleratorStatus, StatusHistory
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import Device
from daemon.inference.verification import Asked, Verifier, Workload
from daemon.runtime.child import Child
from daemon.runtime.heartbeat import HANG_AFTER_S, IDLE_S, Heartbeat

log = logging.getLogger(__name__)

LOAD_S = 60.0
"""An Edge TPU takes 3 s, a GPU that compiles its programs half a minute."""

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 60.0

STEADY_NS = 30 * NS_PER_S
"""After so long in use a failure is a new one, and the first retry soon."""

ABSENT_S = 2.0
"""How often we look whether it is there, which costs nothing."""

IDLE_CHECK_NS = 60 * NS_PER_S
"""How often an accelerator with nothing to do is checked, so that health is right."""

TURN_S = 1.0
"""How long one model waits for another's invoke, which has a deadline: longer is never needed."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done for a device beside its process, by its own thread; `absence` says in words that it is not there."""

    absence: Callable[[], str | None] = lambda: None
    revive: Callable[[], None] = lambda: None


class Accelerator:
    """Runs workloads in a process of its own, from `start` until `close`.

    Each workload's CPU twin takes its input from the accelerator's memory from now on: what the accelerator does not
    compute, the CPU does. Raises ChildError without memory, ModelError when a twin does not run.

    No result is used `check_every_ns` after the latest known answer came out right, but after another has.
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
        self.device = device
        self._served = [work.served for work in workloads]
        self._check_every_ns = check_every_ns
        self._upkeep = upkeep or Upkeep()
        self._backoff = backoff or Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        self._inputs = SharedInputs([work.cpu.input for work in workloads], [work.questions for work in workloads])
        self.verifiers = [Verifier(work, self._inputs, model) for model, work in enumerate(workloads)]
        self._history = StatusHistory(monotonic_ns())
        self._turn = threading.Lock()
        self._process: AcceleratorProcess | None = None
        self._fault: ChildError | None = None
        self._child: Child | None = None
        self._was_used = False
        self._wake, self._stop = threading.Event(), threading.Event()
        self._on_change: Callable[[], None] = lambda: None
        name = f"accelerator-{device.name}"
        self.progress = Heartbeat(name)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def status(self) -> AcceleratorStatus:
        """A snapshot; callable from any thread."""
        return self._history.status

    def start(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Begin to start its process. `on_change` is called by its thread whenever the status changes."""
        self._on_change = on_change
        self._thread.start()

    def close(self, deadline_s: float) -> bool:
        """End its process and its thread; says whether they ended within the deadline."""
        self._stop.set()
        self._wake.set()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def run(self, model: int) -> Tensor | None:
        """What it makes of a workload's input; None: the CPU must compute it. By one thread for each workload."""
        output = self._run_in_turn(model)
        if output is None:
            self.verifiers[model].share.on_cpu += 1
        else:
            self.verifiers[model].share.ran += 1
        return output

    def _run_in_turn(self, model: int) -> Tensor | None:
        if self._process is None or not self._turn.acquire(timeout=TURN_S):
            return None
        try:
            if (process := self._process) is None:
                return None
            verifier = self.verifiers[model]
            output = verifier.run(process, self._check_every_ns)
            if (slowness := verifier.slowness()) is not None:
                self._fall(slowness)
            return output
        except ChildError as error:
            self._fall(error)
            return None
        finally:
            self._turn.release()

    def _fall(self, error: ChildError) -> None:
        """It is used no more; its thread sees to the rest."""
        self._process, self._fault = None, error
        self._wake.set()

    def _run(self) -> None:
        self.progress.begin()
        way: Device | None = self.device
        while not self._stop.is_set():
            way = way or self.device
            try:
                self._use(way)
            except AcceleratorError as error:
                wait_s = self._failed(error)
            except ChildError as error:
                wait_s = self._failed(AcceleratorError.from_child("died", error))
            else:
                continue
            way = None if self._was_used or self._history.status.state == "absent" else way.instead
            if way is None:
                self._wait(wait_s)
        self._tell("stopped", None)
        self._inputs.close()

    def _use(self, way: Device) -> None:
        """Start a process, examine it, and let it be used until it fails or we stop. Raises ChildError."""
        self._was_used = False
        if (absence := self._upkeep.absence()) is not None:
            raise AcceleratorError("absent", absence)
        if self._child is not None:
            self._child.check_gone()
        for verifier in self.verifiers:
            verifier.goes(way)
        self.progress.mark(LOAD_S + HANG_AFTER_S)
        if self._history.has_failed:
            self._upkeep.revive()
            self.progress.mark(LOAD_S + HANG_AFTER_S)
        self._tell("starting", self._history.status.reason)
        with AcceleratorProcess(way, self._served, self._inputs) as process:
            self._child = process.child
            process.wait_until_loaded(LOAD_S, self._stop)
            for verifier in self.verifiers:
                verifier.examine(process, self._going_on)
            if not self._stop.is_set():
                self._hand_out(process)

    def _going_on(self, seconds: float) -> bool:
        self.progress.mark(seconds + HANG_AFTER_S)
        return not self._stop.is_set()

    def _hand_out(self, process: AcceleratorProcess) -> None:
        self._fault = None
        self._wake.clear()
        with self._turn:
            self._process = process
        self._was_used = True
        self._tell("in_use", None)
        try:
            self._stand_by(process)
        finally:
            with self._turn:
                self._process = None

    def _stand_by(self, process: AcceleratorProcess) -> None:
        """Until it fails, which raises ChildError, or we stop."""
        while not self._stop.is_set():
            if self._wake.wait(IDLE_S) and self._fault is not None:
                raise self._fault
            process.child.check_running()
            for verifier in self.verifiers:
                self.progress.mark()
                with self._turn:
                    self._check_idle(process, verifier)

    def _check_idle(self, process: Asked, verifier: Verifier) -> None:
        if self._process is None:
            return
        try:
            verifier.check(process, IDLE_CHECK_NS)
        except ChildError:
            self._process = None  # while it is our turn: what it still answers, nobody may take for an answer to him
            raise

    def _failed(self, error: AcceleratorError) -> float:
        """Note a failure; gives how long to wait before the next try, in seconds."""
        reason = str(error)
        if error.kind == "absent":
            self._tell("absent", reason)
            return ABSENT_S
        before, now_ns = self.status, monotonic_ns()
        if before.state == "in_use" and now_ns - before.since_ns >= STEADY_NS:
            self._backoff.reset()
        if reason != before.reason:
            log.warning("%s: %s; the CPU computes instead, and it is tried again", self.device.name, reason)
        self._history.fails(error.kind, reason, now_ns, error.signal_name)
        self._on_change()
        return self._backoff.next_s()

    def _tell(self, state: AcceleratorState, reason: str | None) -> None:
        if not self._history.becomes(state, reason, monotonic_ns()):
            return
        if state in ("in_use", "absent"):
            names = ", ".join(verifier.name for verifier in self.verifiers)
            log.info("%s: %s", self.device.name, reason or f"runs {names}")
        self._on_change()

    def _wait(self, seconds: float) -> None:
        end_ns = monotonic_ns() + round(seconds * NS_PER_S)
        while (left_ns := end_ns - monotonic_ns()) > 0 and not self._stop.is_set():
            self.progress.mark()
            self._stop.wait(min(IDLE_S, left_ns / NS_PER_S))


class FallbackModel:
    """Implements `Model`: every input gets its output, whatever the accelerator does."""

    def __init__(self, accelerator: Accelerator, number: int, cpu: TfliteModel) -> None:
        """`number` is the workload's in the accelerator, whose twin is `cpu`."""
        self._accelerator = accelerator
        self._number = number
        self._cpu = cpu
        self.input: Tensor = cpu.input
        self.device = CPU

    def invoke(self) -> list[Tensor]:
        """Run on what `input` holds. Raises ModelError when the CPU, asked instead, fails too."""
        output = self._accelerator.run(self._number)
        if output is None:
            self.device = CPU
            return self._cpu.invoke()
        self.device = self._accelerator.device.name
        return [output]

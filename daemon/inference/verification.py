"""Whether an accelerator's process computes rightly, and as fast as before: what is asked of it, and what must come."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from daemon.bundle.manifest import TensorSpec
from daemon.core.errors import AcceleratorError
from daemon.core.records import Modality, Tensor
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns
from daemon.inference.accelerator_process import AcceleratorModel, SharedInputs
from daemon.inference.interpreter import TfliteModel
from daemon.inference.placement import Device

SPREAD_TOLERANCE = 0.1
STEPS_TOLERANCE = 2
LARGEST_TOLERANCE = 0.01
"""How far an output may be off: a tenth of how far the CPU's outputs lie apart, two steps of their quantization, and a
hundredth of the largest, for a GPU may compute in half precision. What computes wrongly is off by the spread itself."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """An input, and what the CPU made of it."""

    question: Tensor
    answer: Tensor


def disagreement(answer: Tensor, given: Tensor, spec: TensorSpec) -> str | None:
    """How an accelerator's answer differs from the CPU's, in words; None when it is the same within tolerance.

    Both have the shape and dtype of `spec`, the model's output.
    """
    expected, found = answer.astype(np.float64), given.astype(np.float64)
    step = 0.0 if spec.scale is None else 1.0
    largest = 0.0 if spec.scale is not None else float(np.abs(expected).max())
    tolerance = SPREAD_TOLERANCE * float(np.ptp(expected)) + STEPS_TOLERANCE * step + LARGEST_TOLERANCE * largest
    off = float(np.abs(expected - found).max())
    if off <= tolerance:  # also false where it is no number
        return None
    return f"computes wrongly: an output of a known input is off by {off:.4g}, {tolerance:.4g} would be the most"


LEAST_DEADLINE_NS = 20 * NS_PER_MS
DEADLINE_FACTOR = 5
"""An answer is waited for as long as five times the p99 of those before, 20 ms at least."""

MOST_DEADLINE_NS = 1500 * NS_PER_MS
"""And no longer than this: an encoder that waits twice, and then computes, must not seem to hang (progress.ROUND_S)."""

HISTORY_SIZE = 512
"""Enough for a p99 that rests on five answers."""

RECENT_SIZE = 16
"""Half a second of pictures at 30 a second: the median of so many is not moved by a machine that was busy."""

SLOW_FACTOR = 4
SLACK_NS = 5 * NS_PER_MS
"""Slow is what takes four times as long as before, and 5 ms: so long a process may wait for a busy processor."""


class LatencyStats:
    """The durations of one model's invokes, the latest of them apart from those before."""

    def __init__(self) -> None:
        self._history: deque[int] = deque(maxlen=HISTORY_SIZE)
        self._recent: deque[int] = deque(maxlen=RECENT_SIZE)
        self._late: deque[bool] = deque(maxlen=RECENT_SIZE)
        self._since = 0
        self.p50_ns: int | None = None
        self.p99_ns: int | None = None
        self.deadline_ns = LEAST_DEADLINE_NS
        self.is_slow = False

    @property
    def recent_ns(self) -> int:
        """The median of the latest."""
        return _percentile(self._recent, 50)

    def add(self, took_ns: int) -> None:
        """Note one duration, and whether most of the latest are slow against those before."""
        if len(self._recent) == RECENT_SIZE:
            self._history.append(self._recent[0])
        self._recent.append(took_ns)
        self._late.append(self.p50_ns is not None and took_ns > SLOW_FACTOR * self.p50_ns + SLACK_NS)
        self.is_slow = len(self._late) == RECENT_SIZE and sum(self._late) > RECENT_SIZE // 2
        self._since += 1
        if self._since >= RECENT_SIZE:
            self._take_stock()

    def begin_process(self) -> None:
        """The latest were another process's, and are now among those before: what lasts is slow no more."""
        self._history.extend(self._recent)
        if self._history:
            self._take_stock()
        self._recent.clear()
        self._late.clear()
        self._since, self.is_slow = 0, False

    def _take_stock(self) -> None:
        self._since = 0
        known = self._history or self._recent
        self.p50_ns, self.p99_ns = _percentile(known, 50), _percentile(known, 99)
        self.deadline_ns = min(max(LEAST_DEADLINE_NS, DEADLINE_FACTOR * self.p99_ns), MOST_DEADLINE_NS)


def _percentile(durations_ns: Iterable[int], percent: int) -> int:
    ordered = sorted(durations_ns)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


FIRST_NS = 10 * NS_PER_S
"""For the first answer, before which an Edge TPU is sent the weights."""

REMEASURE_NS = NS_PER_S
"""For each answer while it is examined: it may have become slow, not hang."""


class Invoker(Protocol):
    """What is used of an AcceleratorProcess."""

    def ask(self, region: int, deadline_ns: int) -> Tensor:
        """The answer to the question in a region: a copy. Raises ChildError when none came in time."""


@dataclass(frozen=True)
class Workload:
    """A model on an accelerator: what its process loads, its CPU twin, and questions that the CPU is asked first."""

    name: Modality
    served: AcceleratorModel
    cpu: TfliteModel
    questions: Sequence[Tensor]


@dataclass(slots=True)
class WorkloadCounts:
    """Of a workload's inputs, how many the accelerator computed, and how many the CPU; written by one thread."""

    ran: int = 0
    on_cpu: int = 0


class Verifier:
    """Asks one workload's questions, live ones and those whose answer is known; by one thread at a time.

    From now on the CPU twin takes its input from `live`. Raises ModelError when the twin does not run.
    """

    def __init__(self, work: Workload, questions: SharedInputs, model: int) -> None:
        self.name, self._model, self._output = work.name, model, work.served.output
        self.live = work.cpu.input = questions.live[model]
        answers = [(region, self._answer(work.cpu, questions.at(region))) for region in questions.of(model)]
        # noise may be what the model makes no number of; nobody can say whether that is right
        self._known = [(region, answer) for region, answer in answers if np.isfinite(answer).all()]
        self._next = 0
        self._checked_ns = 0
        self._paces: dict[Device, tuple[LatencyStats, LatencyStats]] = {}
        self._examined, self._live = LatencyStats(), LatencyStats()
        self.share = WorkloadCounts()

    @property
    def pace(self) -> LatencyStats:
        """How long it takes in use; until that is known, when it was examined."""
        return self._examined if self._live.p50_ns is None else self._live

    def goes(self, way: Device) -> None:
        """What is asked from now on goes this way to the device.

        Each way has a pace of its own; so have examinations, for what is asked without a break may be answered sooner.
        """
        self._examined, self._live = self._paces.setdefault(way, (LatencyStats(), LatencyStats()))
        self._examined.begin_process()
        self._live.begin_process()

    def run(self, process: Invoker, check_every_ns: int) -> Tensor:
        """The answer to the live question. It is held back for a known one when the latest of them is older.

        Raises ChildError when it cannot be trusted.
        """
        output = self._timed(process, self._model, self._deadline_ns, self._live)
        self.check(process, check_every_ns)
        return output

    def check(self, process: Invoker, every_ns: int) -> None:
        """Ask a question whose answer is known, unless that was done since. Raises ChildError."""
        if monotonic_ns() - self._checked_ns >= every_ns:
            self._ask_known(process, self._deadline_ns, self._live)

    def examine(self, process: Invoker, going_on: Callable[[float], bool]) -> None:
        """Ask a new process everything, and how long it takes. Raises ChildError when it fails.

        `going_on` is told how many seconds the next step may take, and says whether to take it.
        """
        if not self._known:
            raise AcceleratorError("wrong", f"{self.name}: cannot be examined: even the CPU's answers are no numbers")
        for region, answer in self._known:
            if not going_on(FIRST_NS / NS_PER_S):
                return
            self._compare(answer, process.ask(region, FIRST_NS))
        for _ in range(RECENT_SIZE):
            if not going_on(REMEASURE_NS / NS_PER_S):
                return
            self._ask_known(process, REMEASURE_NS, self._examined)
        if (slowness := self._slowness(self._examined)) is not None:
            raise slowness

    def slowness(self) -> AcceleratorError | None:
        """What to say when it has become slow in use."""
        return self._slowness(self._live)

    def _slowness(self, pace: LatencyStats) -> AcceleratorError | None:
        if not pace.is_slow:
            return None
        recent_ms, before_ms = pace.recent_ns / 1e6, (pace.p50_ns or 0) / 1e6
        return AcceleratorError("slow", f"{self.name}: takes {recent_ms:.1f} ms, and took {before_ms:.1f} ms before")

    @property
    def _deadline_ns(self) -> int:
        return max(self._live.deadline_ns, self._examined.deadline_ns)

    def _ask_known(self, process: Invoker, deadline_ns: int, pace: LatencyStats) -> None:
        region, answer = self._known[self._next]
        self._next = (self._next + 1) % len(self._known)
        self._compare(answer, self._timed(process, region, deadline_ns, pace))

    @staticmethod
    def _timed(process: Invoker, region: int, deadline_ns: int, pace: LatencyStats) -> Tensor:
        started_ns = monotonic_ns()
        output = process.ask(region, deadline_ns)
        pace.add(monotonic_ns() - started_ns)
        return output

    def _compare(self, answer: Tensor, output: Tensor) -> None:
        trouble = disagreement(answer, output, self._output)
        if trouble is not None:
            raise AcceleratorError("wrong", f"{self.name}: {trouble}")
        self._checked_ns = monotonic_ns()

    def _answer(self, cpu: TfliteModel, question: Tensor) -> Tensor:
        cpu.input[...] = question
        return cpu.invoke()[0]

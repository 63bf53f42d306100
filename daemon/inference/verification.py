"""Whether an accelerator's process computes rightly, and as fast as before: what is asked of it, and what must come."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from daemon.clock import NS_PER_S, monotonic_ns
from daemon.errors import AcceleratorError
from daemon.inference.device import Device
from daemon.inference.known import disagreement
from daemon.inference.model import TfliteModel
from daemon.inference.pace import RECENT, Pace
from daemon.inference.process import Served
from daemon.inference.questions import Questions
from daemon.records import Modality, Tensor

FIRST_NS = 10 * NS_PER_S
"""For the first answer, before which an Edge TPU is sent the weights."""

REMEASURE_NS = NS_PER_S
"""For each answer while it is examined: it may have become slow, not hang."""


class Asked(Protocol):
    """What is used of an AcceleratorProcess."""

    def ask(self, region: int, deadline_ns: int) -> Tensor:
        """The answer to the question in a region: a copy. Raises ChildError when none came in time."""


@dataclass(frozen=True)
class Workload:
    """A model on an accelerator: what its process loads, its CPU twin, and questions that the CPU is asked first."""

    name: Modality
    served: Served
    cpu: TfliteModel
    questions: Sequence[Tensor]


@dataclass(slots=True)
class Share:
    """Of a workload's inputs, how many the accelerator computed, and how many the CPU; written by one thread."""

    ran: int = 0
    on_cpu: int = 0


class Examiner:
    """Asks one workload's questions, live ones and those whose answer is known; by one thread at a time.

    From now on the CPU twin takes its input from `live`. Raises ModelError when the twin does not run.
    """

    def __init__(self, work: Workload, questions: Questions, model: int) -> None:
        self.name, self._model, self._output = work.name, model, work.served.output
        self.live = work.cpu.input = questions.live[model]
        answers = [(region, self._answer(work.cpu, questions.at(region))) for region in questions.of(model)]
        # noise may be what the model makes no number of; nobody can say whether that is right
        self._known = [(region, answer) for region, answer in answers if np.isfinite(answer).all()]
        self._next = 0
        self._checked_ns = 0
        self._paces: dict[Device, tuple[Pace, Pace]] = {}
        self._examined, self._live = Pace(), Pace()
        self.share = Share()

    @property
    def pace(self) -> Pace:
        """How long it takes in use; until that is known, when it was examined."""
        return self._examined if self._live.p50_ns is None else self._live

    def goes(self, way: Device) -> None:
        """What is asked from now on goes this way to the device.

        Each way has a pace of its own; so have examinations, for what is asked without a break may be answered sooner.
        """
        self._examined, self._live = self._paces.setdefault(way, (Pace(), Pace()))
        self._examined.begin_anew()
        self._live.begin_anew()

    def run(self, process: Asked, check_every_ns: int) -> Tensor:
        """The answer to the live question. It is held back for a known one when the latest of them is older.

        Raises ChildError when it cannot be trusted.
        """
        output = self._timed(process, self._model, self._deadline_ns, self._live)
        self.check(process, check_every_ns)
        return output

    def check(self, process: Asked, every_ns: int) -> None:
        """Ask a question whose answer is known, unless that was done since. Raises ChildError."""
        if monotonic_ns() - self._checked_ns >= every_ns:
            self._ask_known(process, self._deadline_ns, self._live)

    def examine(self, process: Asked, going_on: Callable[[float], bool]) -> None:
        """Ask a new process everything, and how long it takes. Raises ChildError when it fails.

        `going_on` is told how many seconds the next step may take, and says whether to take it.
        """
        if not self._known:
            raise AcceleratorError("wrong", f"{self.name}: cannot be examined: even the CPU's answers are no numbers")
        for region, answer in self._known:
            if not going_on(FIRST_NS / NS_PER_S):
                return
            self._compare(answer, process.ask(region, FIRST_NS))
        for _ in range(RECENT):
            if not going_on(REMEASURE_NS / NS_PER_S):
                return
            self._ask_known(process, REMEASURE_NS, self._examined)
        if (slowness := self._slowness(self._examined)) is not None:
            raise slowness

    def slowness(self) -> AcceleratorError | None:
        """What to say when it has become slow in use."""
        return self._slowness(self._live)

    def _slowness(self, pace: Pace) -> AcceleratorError | None:
        if not pace.is_slow:
            return None
        recent_ms, before_ms = pace.recent_ns / 1e6, (pace.p50_ns or 0) / 1e6
        return AcceleratorError("slow", f"{self.name}: takes {recent_ms:.1f} ms, and took {before_ms:.1f} ms before")

    @property
    def _deadline_ns(self) -> int:
        return max(self._live.deadline_ns, self._examined.deadline_ns)

    def _ask_known(self, process: Asked, deadline_ns: int, pace: Pace) -> None:
        region, answer = self._known[self._next]
        self._next = (self._next + 1) % len(self._known)
        self._compare(answer, self._timed(process, region, deadline_ns, pace))

    @staticmethod
    def _timed(process: Asked, region: int, deadline_ns: int, pace: Pace) -> Tensor:
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

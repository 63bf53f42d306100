"""Verifies that an accelerator's process computes what the CPU computes, and in time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.errors import AcceleratorError
from daemon.core.records import Tensor
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.inference.accelerator_process import AcceleratorModel, SharedInputs
from daemon.inference.interpreter import TfliteModel
from daemon.inference.latency_stats import RECENT_SIZE, LatencyStats
from daemon.inference.placement import Device

# How far an output may differ: a tenth of the spread of the CPU's outputs, two quantization steps, and a hundredth of
# the largest value, because a GPU may compute in half precision. A wrong output differs by as much as the spread.
SPREAD_TOLERANCE = 0.1
STEPS_TOLERANCE = 2
LARGEST_TOLERANCE = 0.01

# Deadline of the first invoke. An Edge TPU is sent the weights before it.
FIRST_DEADLINE_NS = 10 * NS_PER_S

# Deadline of each further invoke while a new process is verified. The device may be slower than before and still work.
NEXT_DEADLINE_NS = NS_PER_S


@dataclass(frozen=True)
class Workload:
    """A model on an accelerator.

    `model` is what the accelerator's process loads; `cpu_fallback` is the same model on the CPU. The CPU computes the
    expected outputs of `test_inputs`. `cpu_outputs` names its outputs in order; `model` has all or some of them.
    """

    encoder: str
    model: AcceleratorModel
    cpu_fallback: TfliteModel
    test_inputs: Sequence[Tensor]
    cpu_outputs: Sequence[str]

    @property
    def positions(self) -> list[int]:
        """The position of each output of `model` among those of `cpu_fallback`."""
        return [self.cpu_outputs.index(name) for name in self.model.outputs]


@dataclass(slots=True)
class WorkloadCounts:
    """How many inputs of a workload the accelerator computed, and how many the CPU. Written by one thread."""

    ran: int = 0
    on_cpu: int = 0


class Invoker(Protocol):
    """The part of an AcceleratorProcess that a Verifier uses."""

    def invoke(self, region: int, deadline_ns: int) -> list[Tensor]:
        """Return copies of the outputs for the input in a region. Raises ChildError when they do not come in time."""


class Verifier:
    """Invokes one workload on an accelerator's process and compares test outputs. Used by one thread at a time.

    Its construction makes the CPU fallback read its input from the shared memory.
    Raises ModelError when the CPU fallback does not run.
    """

    def __init__(self, work: Workload, inputs: SharedInputs, model: int) -> None:
        """`model` is the number of the workload's model in `inputs`."""
        self.encoder, self._model, self._outputs = work.encoder, model, work.model.outputs
        work.cpu_fallback.input = inputs.live[model]
        tests = [(region, _cpu_outputs(work, inputs.at(region))) for region in inputs.test_regions(model)]
        # The noise input may give outputs that are not finite. Such an output verifies nothing.
        self._tests = [(region, expected) for region, expected in tests if all(np.isfinite(e).all() for e in expected)]
        self._next_test = 0
        self._checked_ns = 0
        self._latencies: dict[Device, tuple[LatencyStats, LatencyStats]] = {}
        self._test_latency, self._live_latency = LatencyStats(), LatencyStats()
        self.counts = WorkloadCounts()

    @property
    def latency(self) -> LatencyStats:
        """The latency in use; the latency of the verification while there are too few live invokes."""
        return self._test_latency if self._live_latency.p50_ns is None else self._live_latency

    def use_device(self, device: Device) -> None:
        """Count what follows for a new process on this device, or on this alternative to it.

        The verification has a latency of its own: invokes without a pause between them may take less time.
        """
        self._test_latency, self._live_latency = self._latencies.setdefault(device, (LatencyStats(), LatencyStats()))
        self._test_latency.begin_process()
        self._live_latency.begin_process()

    def verify(self, process: Invoker, may_continue: Callable[[float], bool]) -> None:
        """Compare the outputs of all test inputs of a new process, and measure their latency.

        `may_continue` gets the seconds that the next step may take, and returns False to end the verification.
        Raises ChildError when the process fails or its outputs are wrong.
        """
        if not self._tests:
            message = "cannot be verified: on the CPU, too, the outputs of all test inputs are not finite"
            raise AcceleratorError("wrong", f"{self.encoder}: {message}")
        for region, expected in self._tests:
            if not may_continue(FIRST_DEADLINE_NS / NS_PER_S):
                return
            self._compare(expected, process.invoke(region, FIRST_DEADLINE_NS))
        for _ in range(RECENT_SIZE):
            if not may_continue(NEXT_DEADLINE_NS / NS_PER_S):
                return
            self._test_once(process, NEXT_DEADLINE_NS, self._test_latency)
        if (slowness := self._slowness(self._test_latency)) is not None:
            raise slowness

    def invoke(self, process: Invoker, check_every_ns: int) -> list[Tensor]:
        """Return the outputs for the live input, after a check unless the latest one is recent enough.

        Raises ChildError when the outputs cannot be trusted.
        """
        outputs = _timed(process, self._model, self._deadline_ns, self._live_latency)
        self.check(process, check_every_ns)
        return outputs

    def check(self, process: Invoker, every_ns: int) -> None:
        """Compare the outputs of a test input unless the latest comparison is younger than `every_ns`.

        Raises ChildError.
        """
        if monotonic_ns() - self._checked_ns >= every_ns:
            self._test_once(process, self._deadline_ns, self._live_latency)

    def slowness(self) -> AcceleratorError | None:
        """Return an error when the workload has become slow in use."""
        return self._slowness(self._live_latency)

    def _slowness(self, latency: LatencyStats) -> AcceleratorError | None:
        if not latency.is_slow:
            return None
        recent_ms, before_ms = latency.recent_p50_ns / 1e6, (latency.p50_ns or 0) / 1e6
        return AcceleratorError("slow", f"{self.encoder}: takes {recent_ms:.1f} ms, took {before_ms:.1f} ms before")

    @property
    def _deadline_ns(self) -> int:
        return max(self._live_latency.deadline_ns, self._test_latency.deadline_ns)

    def _test_once(self, process: Invoker, deadline_ns: int, latency: LatencyStats) -> None:
        region, expected = self._tests[self._next_test]
        self._next_test = (self._next_test + 1) % len(self._tests)
        self._compare(expected, _timed(process, region, deadline_ns, latency))

    def _compare(self, expected: Sequence[Tensor], actual: Sequence[Tensor]) -> None:
        for (name, spec), ours, its in zip(self._outputs.items(), expected, actual, strict=True):
            if (trouble := disagreement(ours, its, spec)) is not None:
                what = "the output" if len(self._outputs) == 1 else f"the output {name}"
                raise AcceleratorError("wrong", f"{self.encoder}: computes wrongly: {what} of a test input {trouble}")
        self._checked_ns = monotonic_ns()


def disagreement(expected: Tensor, actual: Tensor, spec: TensorSpec) -> str | None:
    """Return by how much an accelerator's output differs from the CPU's if that is above the tolerance, else None.

    Both have the shape and dtype of `spec`.
    """
    expected_values, actual_values = expected.astype(np.float64), actual.astype(np.float64)
    step = 0.0 if spec.scale is None else 1.0
    largest = 0.0 if spec.scale is not None else float(np.abs(expected_values).max())
    spread = float(np.ptp(expected_values))
    tolerance = SPREAD_TOLERANCE * spread + STEPS_TOLERANCE * step + LARGEST_TOLERANCE * largest
    difference = float(np.abs(expected_values - actual_values).max())
    if difference <= tolerance:  # also false for NaN
        return None
    return f"differs by {difference:.4g}, at most {tolerance:.4g} may be"


def _cpu_outputs(work: Workload, test_input: Tensor) -> list[Tensor]:
    """Return what the CPU computes of the outputs that the accelerator's model has."""
    work.cpu_fallback.input[...] = test_input
    outputs = work.cpu_fallback.invoke()
    return [outputs[position] for position in work.positions]


def _timed(process: Invoker, region: int, deadline_ns: int, latency: LatencyStats) -> list[Tensor]:
    started_ns = monotonic_ns()
    outputs = process.invoke(region, deadline_ns)
    latency.add(monotonic_ns() - started_ns)
    return outputs

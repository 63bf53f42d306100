"""What health says of encoders and of the accelerators that run them."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from daemon.core.errors import FaultKind
from daemon.core.records import CPU
from daemon.core.timing import NS_PER_MS, wall_time
from daemon.inference.accelerator import Accelerator
from daemon.inference.accelerator_status import AcceleratorState
from daemon.inference.placement import Placement


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class EncoderHealth(_Part):
    """The device that the config asks for (`wanted`), and the device that runs the encoder now.

    `absent_outputs` are the encoder's outputs that this device does not give. `reason` says why the device is not the
    one that is wanted, or why outputs are absent.
    """

    wanted: str
    device: str
    reason: str | None
    absent_outputs: list[str]


class WorkloadHealth(_Part):
    """One encoder on an accelerator: inputs that it computed, inputs that the CPU computed instead, and durations."""

    ran: int
    on_cpu: int
    p50_ms: float | None
    p99_ms: float | None


class ChangeHealth(_Part):
    """A change of an accelerator's state, with its time and reason; `failure` is the kind of failure."""

    time: str
    state: AcceleratorState
    failure: FaultKind | None
    reason: str | None


class AcceleratorHealth(_Part):
    """One accelerator. `since` is when its state began, `starts` the number of starts of its process.

    `failures` are counted by kind. `history` are the latest changes, oldest first.
    """

    state: AcceleratorState
    since: str
    reason: str | None
    starts: int
    failures: dict[FaultKind, int]
    encoders: dict[str, WorkloadHealth]
    history: list[ChangeHealth]


def accelerator_health(accelerator: Accelerator) -> AcceleratorHealth:
    """Return one accelerator's status with wall time."""
    status = accelerator.status
    return AcceleratorHealth(
        state=status.state,
        since=wall_time(status.since_ns),
        reason=status.reason,
        starts=status.starts,
        failures=status.failures,
        encoders={
            verifier.encoder: WorkloadHealth(
                ran=verifier.counts.ran,
                on_cpu=verifier.counts.on_cpu,
                p50_ms=_ms(verifier.latency.p50_ns),
                p99_ms=_ms(verifier.latency.p99_ns),
            )
            for verifier in accelerator.verifiers
        },
        history=[
            ChangeHealth(time=wall_time(change.at_ns), state=change.state, failure=change.kind, reason=change.reason)
            for change in status.history
        ],
    )


def encoder_health(placement: Placement, accelerators: Mapping[str, AcceleratorHealth]) -> EncoderHealth:
    """Return where an encoder runs now; `accelerators` by name."""
    name = CPU if placement.device is None else placement.device.name
    accelerator = accelerators.get(name)
    if accelerator is None or accelerator.state == "in_use":
        reason, absent = placement.reason or placement.absence, list(placement.absent_outputs)
    else:
        reason, absent, name = accelerator.reason or f"{name} is being started", [], CPU
    return EncoderHealth(wanted=placement.requested, device=name, reason=reason, absent_outputs=absent)


def _ms(duration_ns: int | None) -> float | None:
    return None if duration_ns is None else round(duration_ns / NS_PER_MS, 3)


def fails(accelerator: AcceleratorHealth) -> bool:
    """Return whether the CPU computes because the accelerator cannot."""
    return accelerator.state not in ("in_use", "stopped") and accelerator.reason is not None

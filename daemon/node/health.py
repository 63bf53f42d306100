"""The health payload: what runs, what does not run and why, and what was counted."""

import resource
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.core.errors import FaultKind
from daemon.core.records import CPU, Modality
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns, wall_time
from daemon.inference.accelerator import Accelerator
from daemon.inference.accelerator_status import AcceleratorState
from daemon.inference.placement import Placement
from daemon.mqtt.status_payload import NodeStatus
from daemon.node.input_health import InputHealth, SharedInputHealth
from daemon.node.kept_health import HistoryHealth, TeachingHealth
from daemon.runtime.child import kill_counts
from daemon.runtime.liveness import SourceState
from daemon.runtime.supervisor import SupervisedSource
from daemon.runtime.thread_loop import system_errors


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class SourceHealth(_Part):
    """One source. `since` is when its state began, `reason` its latest fault. The counts are those of SourceStatus.

    The `reason` of a source that is `paused` says which other camera is closed; null: a command has closed it itself.
    `drift_ppm` is the drift of its clock against this machine's; null: not known.
    """

    state: SourceState
    since: str
    reason: str | None
    failures: int
    stalls: int
    recoveries: int
    reopened: int
    drift_ppm: float | None


class StreamHealth(_Part):
    """One stream. `available` says whether anything can be recognised in it now, `paused` whether it is paused.

    `camera` and `microphone` say whether they are open or will be opened again; null: the stream has none.
    """

    sources: dict[str, SourceHealth]
    inputs: dict[Modality, SharedInputHealth | InputHealth]
    recognitions: int
    events: int
    available: bool
    paused: bool
    camera: bool | None
    microphone: bool | None


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


class OutboxHealth(_Part):
    """Events `waiting` to be written, and events on disk that the broker has not acknowledged.

    `coalesced` counts updates that a later message of the same event has replaced. `trouble` says why events are
    in memory only; null: they are on disk.
    """

    waiting: int
    stored: int
    stored_bytes: int
    coalesced: int
    trouble: str | None


class MqttHealth(_Part):
    """The connection to the broker; `reason` is its latest fault.

    `refused_subscriptions` has the topic filters that the broker refuses now. `unconfirmed` counts messages of QoS 1
    that were sent with QoS 0, because the broker takes no other.
    """

    connected: bool
    since: str
    reconnects: int
    reason: str | None
    refused_subscriptions: list[str]
    published: int
    unconfirmed: int
    dropped: dict[str, int]
    outbox: OutboxHealth


class ProcessHealth(_Part):
    """CPU time and the highest resident memory of the daemon so far.

    `children_killed` counts child processes that were killed while they ran, which is how each of them ends.
    `children_left_behind` counts those that the system did not end in time.
    `system_errors` counts errors of the operating system that a loop of the daemon has survived.
    """

    uptime_s: float
    cpu_s: float
    peak_rss_mb: float
    children_killed: int
    children_left_behind: int
    system_errors: int


class LatencyHealth(_Part):
    """Latency from capture until the recognition reaches the MQTT client, over the latest recognitions."""

    p50: float | None
    p99: float | None


class Health(_Part):
    """The retained health payload.

    `instance` changes at every start of the daemon; `device` identifies its state directory. `status` is `degraded`
    while a source or an accelerator has a fault or the broker refuses a subscription, and `stopped` once all sources
    have ended. It is `failed` while a loop of the daemon hangs or has ended too early; `trouble` then names the loop.
    `reload_problem` says why the config was not read again at the latest request.
    `bundle_changed` says how the bundle's directory differs from what runs; null: it does not.
    """

    schema_version: Literal[1] = Field(default=1, serialization_alias="schema")
    node: str
    instance: str
    device: str
    version: str
    time: str
    status: NodeStatus
    trouble: str | None
    reload_problem: str | None
    bundle: str
    bundle_changed: str | None
    streams: dict[str, StreamHealth]
    encoders: dict[str, EncoderHealth]
    accelerators: dict[str, AcceleratorHealth]
    mqtt: MqttHealth
    teaching: TeachingHealth
    history: HistoryHealth
    process: ProcessHealth
    latency_ms: LatencyHealth

    def to_json(self) -> bytes:
        """Return the message for the broker."""
        return self.model_dump_json(by_alias=True).encode()


def source_health(source: SupervisedSource) -> SourceHealth:
    """Return one source's status with wall time."""
    status, drift_ppm = source.status, source.drift_ppm
    return SourceHealth(
        state=status.state,
        since=wall_time(status.since_ns),
        reason=status.reason,
        failures=status.failures,
        stalls=status.stalls,
        recoveries=status.recoveries,
        reopened=status.reopened,
        drift_ppm=None if drift_ppm is None else round(drift_ppm, 1),
    )


def process_health(started_ns: int) -> ProcessHealth:
    """Return what this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return ProcessHealth(
        uptime_s=round((monotonic_ns() - started_ns) / NS_PER_S, 3),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 3),
        peak_rss_mb=round(usage.ru_maxrss / 1024, 1),
        children_killed=kill_counts.killed,
        children_left_behind=kill_counts.left_behind,
        system_errors=system_errors.total,
    )


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


def overall(
    streams: Mapping[str, StreamHealth], accelerators: Mapping[str, AcceleratorHealth], refused: Sequence[str]
) -> NodeStatus:
    """Return whether every source, every accelerator and every subscription works; `refused` are topic filters."""
    sources = [source for stream in streams.values() for source in stream.sources.values()]
    if sources and all(source.state in ("stopped", "ended") for source in sources):
        return "stopped"
    is_degraded = any(map(is_faulty, sources)) or any(map(fails, accelerators.values())) or bool(refused)
    return "degraded" if is_degraded else "ok"


def is_opening(source: SourceHealth) -> bool:
    """Return whether the source has neither delivered nor failed yet."""
    return source.state == "recovering" and source.failures == 0 and source.reopened == 0


def is_faulty(source: SourceHealth) -> bool:
    """Return whether the source does not deliver as it should, and is not being opened for the first time."""
    return source.state in ("recovering", "degraded", "stalled", "backing_off") and not is_opening(source)

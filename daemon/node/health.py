"""The health payload: what runs, what does not run and why, and what was counted."""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.core.records import Modality
from daemon.core.timing import NS_PER_S, monotonic_ns, wall_time
from daemon.mqtt.status_payload import NodeStatus
from daemon.node.accelerator_health import AcceleratorHealth, EncoderHealth, fails
from daemon.node.input_health import InputHealth, SharedInputHealth
from daemon.node.kept_health import HistoryHealth, TeachingHealth
from daemon.runtime.child import kill_counts
from daemon.runtime.liveness import SourceState
from daemon.runtime.supervisor import SupervisedSource
from daemon.runtime.thread_loop import system_errors


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class DecoderHealth(_Part):
    """What decodes the pictures of a network camera or a file: `software`, or a way to decode in hardware.

    `failures` counts how often the hardware has failed after it had decoded. `reason` says why the hardware does not
    decode although `camera.decoder` allows it.
    """

    name: str
    codec: str
    failures: int
    reason: str | None


class SourceHealth(_Part):
    """One source. `since` is when its state began, `reason` its latest fault. The counts are those of SourceStatus.

    The `reason` of a source that is `paused` says which other camera is closed; null: a command has closed it itself.
    `drift_ppm` is the drift of its clock against this machine's; null: not known.
    `decoder`: null: it has no coded pictures, or is not open yet.
    """

    state: SourceState
    since: str
    reason: str | None
    failures: int
    stalls: int
    recoveries: int
    reopened: int
    drift_ppm: float | None
    decoder: DecoderHealth | None = None


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
    `metrics_problem` says why metrics are not served although the config asks for them.
    `state_problem` says which files of the state directory were set aside because a later version has written them.
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
    metrics_problem: str | None
    state_problem: str | None
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
        decoder=None if source.decoder is None else DecoderHealth(**asdict(source.decoder)),
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

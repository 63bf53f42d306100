"""The health payload: what runs, what does not and why, and what was counted."""

import resource
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from daemon.clock import NS_PER_S, monotonic_ns, wall_time
from daemon.records import Counters, Modality
from daemon.runtime.child import tally
from daemon.runtime.liveness import State
from daemon.runtime.supervisor import SupervisedSource

Status = Literal["ok", "degraded", "stopped"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class SourceHealth(_Part):
    """One source: `since` is when its state began, `reason` its latest trouble; the counts are those of SourceStatus.

    `drift_ppm` is how fast its clock runs against this machine's; null: not known.
    """

    state: State
    since: str
    reason: str | None
    failures: int
    stalls: int
    recoveries: int
    reopened: int
    drift_ppm: float | None


class InputHealth(_Part):
    """Counts of one modality since the start: frames, blocks or lines captured; embeddings made; drops by reason."""

    captured: int
    encoded: int
    dropped: dict[str, int]


class StreamHealth(_Part):
    """One stream: `available` says whether anything may be recognised of it now.

    `camera` and `microphone` say whether they are open, or to be opened again; null: it has none of its own.
    """

    sources: dict[str, SourceHealth]
    inputs: dict[Modality, InputHealth]
    recognitions: int
    events: int
    available: bool
    camera: bool | None
    microphone: bool | None


class OutboxHealth(_Part):
    """Events `waiting` to be written, and those on disk that the broker has not acknowledged.

    `coalesced` counts updates that a later step of their event made needless.

    `trouble` says why events are kept in memory alone; null: they are on disk.
    """

    waiting: int
    stored: int
    stored_bytes: int
    coalesced: int
    trouble: str | None


class MqttHealth(_Part):
    """The connection to the broker; `reason` is its latest trouble."""

    connected: bool
    since: str
    reconnects: int
    reason: str | None
    published: int
    dropped: dict[str, int]
    outbox: OutboxHealth


class ProcessHealth(_Part):
    """The daemon as the system sees it: CPU time used and the highest resident memory so far.

    `children_killed` counts the child processes that were killed while they ran, which is how each of them is ended;
    `children_left_behind` those of them that the system did not end in time.
    """

    uptime_s: float
    cpu_s: float
    peak_rss_mb: float
    children_killed: int
    children_left_behind: int


class LatencyHealth(_Part):
    """From capture to handing the recognition to the MQTT client, over the latest recognitions."""

    p50: float | None
    p99: float | None


class Health(_Part):
    """The retained health payload.

    `instance` is another one at every start of the daemon. `status` is degraded while a source is in trouble, stopped
    once all have ended.
    """

    schema_version: Literal[1] = Field(default=1, serialization_alias="schema")
    node: str
    instance: str
    version: str
    time: str
    status: Status
    bundle: str
    streams: dict[str, StreamHealth]
    mqtt: MqttHealth
    process: ProcessHealth
    latency_ms: LatencyHealth

    def to_json(self) -> bytes:
        """As it goes to the broker."""
        return self.model_dump_json(by_alias=True).encode()


def source_health(source: SupervisedSource) -> SourceHealth:
    """One source's status with wall time."""
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


def input_health(counters: Counters) -> InputHealth:
    """A snapshot of one modality's counters."""
    return InputHealth(captured=counters.captured, encoded=counters.encoded, dropped=dict(counters.dropped))


def process_health(started_ns: int) -> ProcessHealth:
    """What this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return ProcessHealth(
        uptime_s=round((monotonic_ns() - started_ns) / NS_PER_S, 3),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 3),
        peak_rss_mb=round(usage.ru_maxrss / 1024, 1),
        children_killed=tally.killed,
        children_left_behind=tally.left_behind,
    )


def overall(streams: Mapping[str, StreamHealth]) -> Status:
    """Whether every source does its work."""
    sources = [source for stream in streams.values() for source in stream.sources.values()]
    if sources and all(source.state in ("stopped", "ended") for source in sources):
        return "stopped"
    return "degraded" if any(map(is_in_trouble, sources)) else "ok"


def is_opened_first(source: SourceHealth) -> bool:
    """Whether it has neither delivered nor failed yet."""
    return source.state == "recovering" and source.failures == 0 and source.reopened == 0


def is_in_trouble(source: SourceHealth) -> bool:
    """Whether there is something to see to: it does not deliver as it should, nor is it opened for the first time."""
    return source.state in ("recovering", "degraded", "stalled", "backing_off") and not is_opened_first(source)

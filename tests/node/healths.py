"""Healths of a node to test with."""

from collections.abc import Mapping, Sequence

from daemon.inference.accelerator_status import AcceleratorState
from daemon.mqtt.status_payload import NodeStatus
from daemon.node.accelerator_health import AcceleratorHealth
from daemon.node.health import (
    Health,
    LatencyHealth,
    MqttHealth,
    OutboxHealth,
    ProcessHealth,
    SourceHealth,
    StreamHealth,
)
from daemon.node.kept_health import NO_HISTORY, TeachingHealth
from daemon.runtime.liveness import SourceState

TIME = "2026-01-31T12:00:00.000000Z"


def source(state: SourceState, reason: str | None = None, *, failures: int = 0, since: str = TIME) -> SourceHealth:
    """One source; its other counts are 0."""
    return SourceHealth(
        state=state, since=since, reason=reason, failures=failures, stalls=0, recoveries=0, reopened=0, drift_ppm=None
    )


def stream(
    sources: Mapping[str, SourceHealth],
    *,
    available: bool = True,
    paused: bool = False,
    camera: bool | None = True,
    recognitions: int = 0,
) -> StreamHealth:
    """One stream without a microphone."""
    return StreamHealth(
        sources=dict(sources),
        inputs={},
        recognitions=recognitions,
        events=0,
        available=available,
        paused=paused,
        camera=camera,
        microphone=None,
    )


def accelerator(state: AcceleratorState, reason: str | None = None, starts: int = 1) -> AcceleratorHealth:
    """One accelerator without encoders."""
    return AcceleratorHealth(
        state=state, since=TIME, reason=reason, starts=starts, failures={}, encoders={}, history=[]
    )


def health(
    status: NodeStatus = "ok",
    *,
    streams: Mapping[str, StreamHealth] | None = None,
    accelerators: Mapping[str, AcceleratorHealth] | None = None,
    refused: Sequence[str] = (),
    connected: bool = True,
    mqtt_reason: str | None = None,
    outbox_trouble: str | None = None,
    published: int = 0,
    bundle: str = "digits@0.1.0",
    bundle_changed: str | None = None,
    trouble: str | None = None,
    reload_problem: str | None = None,
    teaching_problem: str | None = None,
    history_problem: str | None = None,
    metrics_problem: str | None = None,
    state_problem: str | None = None,
) -> Health:
    """The health of a node named hall, without streams where there are none given."""
    outbox = OutboxHealth(waiting=0, stored=published, stored_bytes=0, coalesced=0, trouble=outbox_trouble)
    return Health(
        node="hall",
        instance="1" * 32,
        device="2" * 32,
        version="1.0.0",
        time=TIME,
        status=status,
        trouble=trouble,
        reload_problem=reload_problem,
        metrics_problem=metrics_problem,
        state_problem=state_problem,
        bundle=bundle,
        bundle_changed=bundle_changed,
        streams=dict(streams or {}),
        encoders={},
        accelerators=dict(accelerators or {}),
        mqtt=MqttHealth(
            connected=connected,
            since=TIME,
            reconnects=0,
            reason=mqtt_reason,
            refused_subscriptions=list(refused),
            published=published,
            unconfirmed=0,
            dropped={},
            outbox=outbox,
        ),
        teaching=TeachingHealth(enabled=True, labels=0, examples=0, background=0, dropped={}, problem=teaching_problem),
        history=NO_HISTORY if history_problem is None else NO_HISTORY.model_copy(update={"problem": history_problem}),
        process=ProcessHealth(
            uptime_s=published, cpu_s=1, peak_rss_mb=1, children_killed=0, children_left_behind=0, system_errors=0
        ),
        latency_ms=LatencyHealth(p50=float(published), p99=None),
    )

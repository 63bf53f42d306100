"""Makes the payload of the topic `status` from the health of a node. Pure."""

from collections.abc import Mapping

from daemon.mqtt.status_payload import StatusPayload, StreamStatus, one_line
from daemon.node.accelerator_health import AcceleratorHealth, fails
from daemon.node.health import Health, MqttHealth, SourceHealth, StreamHealth, is_faulty
from daemon.node.kept_health import HistoryHealth, TeachingHealth


def status_payload(health: Health, models_problem: str | None) -> StatusPayload:
    """Return the status; `models_problem` says why the source of bundles failed at the latest look."""
    return StatusPayload(
        node=health.node,
        status=health.status,
        reason=one_line(reasons(health)),
        version=health.version,
        bundle=health.bundle,
        models_problem=None if models_problem is None else one_line([models_problem]),
        streams={name: _stream_status(stream) for name, stream in health.streams.items()},
    )


def reasons(health: Health) -> list[str]:
    """Return what is not as it should be, the most important first."""
    return [
        *([] if health.trouble is None else [health.trouble]),
        *(text for name, stream in health.streams.items() for text in source_reasons(stream.sources, f"{name}/")),
        *accelerator_reasons(health.accelerators),
        *node_reasons(
            health.mqtt,
            health.teaching,
            health.history,
            health.reload_problem,
            health.bundle_changed,
            health.metrics_problem,
            health.state_problem,
        ),
    ]


def accelerator_reasons(accelerators: Mapping[str, AcceleratorHealth]) -> list[str]:
    """Return why the CPU computes for accelerators."""
    return [f"{name}: {found.reason}; on the CPU" for name, found in accelerators.items() if fails(found)]


def node_reasons(
    mqtt: MqttHealth,
    teaching: TeachingHealth,
    history: HistoryHealth,
    reload_problem: str | None,
    bundle_changed: str | None,
    metrics_problem: str | None,
    state_problem: str | None,
) -> list[str]:
    """Return what is wrong with the node beside its streams and devices; for the last four see Health."""
    refused = mqtt.refused_subscriptions
    found = [
        f"the MQTT broker refuses subscriptions to {', '.join(refused)}" if refused else None,
        mqtt.outbox.trouble,
        None if reload_problem is None else f"the config was not reloaded: {reload_problem}",
        bundle_changed,
        None if teaching.problem is None else f"teaching: {teaching.problem}",
        None if history.problem is None else f"history: {history.problem}",
        metrics_problem,
        state_problem,
    ]
    return [reason for reason in found if reason is not None]


def source_reasons(sources: Mapping[str, SourceHealth], prefix: str = "") -> list[str]:
    """Return what is wrong with the sources that do not deliver as they should; `prefix` begins each name."""
    return [f"{prefix}{name}: {source.reason or source.state}" for name, source in sources.items() if is_faulty(source)]


def _stream_status(stream: StreamHealth) -> StreamStatus:
    return StreamStatus(
        available=stream.available,
        paused=stream.paused,
        reason=one_line(source_reasons(stream.sources)),
        camera=stream.camera,
        microphone=stream.microphone,
    )

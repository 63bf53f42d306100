"""The health of a node, put together from its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon import __version__
from daemon.clock import monotonic_ns, wall_time
from daemon.inference.accelerator import Accelerator
from daemon.mqtt import Session
from daemon.recogniser import Recogniser
from daemon.status.health import (
    AcceleratorHealth,
    Health,
    LatencyHealth,
    MqttHealth,
    OutboxHealth,
    SourceHealth,
    accelerator_health,
    encoder_health,
    overall,
    process_health,
)
from daemon.status.latency import Latencies
from daemon.stream import Stream


@dataclass(frozen=True)
class Reporter:
    """What stays the same of a node while it runs."""

    node: str
    started_ns: int
    session: Session
    streams: Mapping[str, Stream]
    latencies: Latencies

    def health(self, recogniser: Recogniser) -> Health:
        """A snapshot, while this bundle is in use."""
        streams = {name: stream.health() for name, stream in self.streams.items()}
        accelerators = accelerators_health(recogniser.accelerators)
        return Health(
            node=self.node,
            instance=self.session.instance,
            version=__version__,
            time=wall_time(monotonic_ns()),
            status=overall(streams, accelerators),
            bundle=recogniser.bundle.manifest.id,
            streams=streams,
            encoders={m: encoder_health(place, accelerators) for m, place in recogniser.placements.items()},
            accelerators=accelerators,
            mqtt=_mqtt_health(self.session),
            process=process_health(self.started_ns),
            latency_ms=LatencyHealth(p50=self.latencies.percentile_ms(50), p99=self.latencies.percentile_ms(99)),
        )

    def sources(self) -> dict[str, SourceHealth]:
        """Every source, by names such as door/camera."""
        return {
            f"{stream.name}/{name}": source
            for stream in self.streams.values()
            for name, source in stream.health().sources.items()
        }


def accelerators_health(accelerators: Sequence[Accelerator]) -> dict[str, AcceleratorHealth]:
    """Each by its name."""
    return {accelerator.device.name: accelerator_health(accelerator) for accelerator in accelerators}


def _mqtt_health(session: Session) -> MqttHealth:
    status = session.status()
    return MqttHealth(
        connected=status["connected"],
        since=wall_time(status["since_ns"]),
        reconnects=status["reconnects"],
        reason=status["reason"],
        published=status["published"],
        dropped=status["dropped"],
        outbox=OutboxHealth.model_validate(status["outbox"]),
    )

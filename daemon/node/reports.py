"""Collects the health of a node from its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon import __version__
from daemon.core.timing import monotonic_ns, wall_time
from daemon.inference.accelerator import Accelerator
from daemon.mqtt.session import Session
from daemon.node.accelerator_health import AcceleratorHealth, accelerator_health, encoder_health
from daemon.node.bundle_watch import BundleWatch
from daemon.node.device_id import DeviceId
from daemon.node.health import Health, LatencyHealth, MqttHealth, OutboxHealth, SourceHealth, overall, process_health
from daemon.node.latency import Latencies
from daemon.node.no_history import NoHistorian
from daemon.node.stream import Stream
from daemon.node.switches import Closed, closed_by
from daemon.node.teacher import NoTeacher, Teacher
from daemon.pipeline.recogniser import Recogniser

if TYPE_CHECKING:
    from daemon.node.historian import Historian


@dataclass(frozen=True)
class Reporter:
    """Makes the health payload of a running node. Callable from any thread. For `state_problem` see Health."""

    node: str
    device: DeviceId
    started_ns: int
    session: Session
    streams: Mapping[str, Stream]
    latencies: Latencies
    bundle_watch: BundleWatch
    teacher: Teacher | NoTeacher
    historian: "Historian | NoHistorian"
    state_problem: str | None

    def health(
        self,
        recogniser: Recogniser,
        trouble: str | None = None,
        reload_problem: str | None = None,
        metrics_problem: str | None = None,
    ) -> Health:
        """Return a snapshot, with the recogniser of the active bundle. `trouble` says which loops do not work."""
        streams = {name: stream.health() for name, stream in self.streams.items()}
        accelerators = accelerators_health(recogniser.accelerators)
        mqtt = self.mqtt()
        return Health(
            node=self.node,
            instance=self.session.instance,
            device=self.device.value,
            version=__version__,
            time=wall_time(monotonic_ns()),
            status="failed" if trouble else overall(streams, accelerators, mqtt.refused_subscriptions),
            trouble=trouble,
            reload_problem=reload_problem,
            metrics_problem=metrics_problem,
            state_problem=self.state_problem,
            bundle=recogniser.bundle.manifest.id,
            bundle_changed=self.bundle_watch.change,
            streams=streams,
            encoders={m: encoder_health(place, accelerators) for m, place in recogniser.placements.items()},
            accelerators=accelerators,
            mqtt=mqtt,
            teaching=self.teacher.health(),
            history=self.historian.health(),
            process=process_health(self.started_ns),
            latency_ms=LatencyHealth(p50=self.latencies.percentile_ms(50), p99=self.latencies.percentile_ms(99)),
        )

    def sources(self) -> dict[str, SourceHealth]:
        """Return every source by a name such as door/camera."""
        return {
            f"{stream.name}/{name}": source
            for stream in self.streams.values()
            for name, source in stream.health().sources.items()
        }

    def closed(self) -> Closed:
        """Return what is closed on request."""
        switches = {name: stream.switch for name, stream in self.streams.items()}
        return closed_by(switches, {name: stream.devices for name, stream in self.streams.items()})

    def mqtt(self) -> MqttHealth:
        """Return the state of the connection, and what was dropped."""
        status = self.session.status()
        return MqttHealth(
            connected=status["connected"],
            since=wall_time(status["since_ns"]),
            reconnects=status["reconnects"],
            reason=status["reason"],
            refused_subscriptions=status["refused"],
            published=status["published"],
            unconfirmed=status["unconfirmed"],
            dropped=status["dropped"],
            outbox=OutboxHealth.model_validate(status["outbox"]),
        )


def accelerators_health(accelerators: Sequence[Accelerator]) -> dict[str, AcceleratorHealth]:
    """Return the health of each accelerator by its name."""
    return {accelerator.device.name: accelerator_health(accelerator) for accelerator in accelerators}

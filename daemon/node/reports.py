"""The health of a node, put together from its parts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import RootModel, ValidationError

from daemon import __version__
from daemon.bundle.manifest import Manifest
from daemon.config.node import Config
from daemon.core.files import read_bounded, replace_file
from daemon.core.timing import monotonic_ns, wall_time
from daemon.inference.accelerator import Accelerator
from daemon.mqtt.home_assistant import StreamEntities, discovery_payload, discovery_topic, platforms
from daemon.mqtt.session import Session
from daemon.node.health import (
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
from daemon.node.stream import Stream
from daemon.node.stream_publisher import Latencies
from daemon.pipeline.recogniser import Recogniser


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


log = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
_Known = RootModel[dict[str, str]]


def announce(config: Config, manifest: Manifest, streams: Mapping[str, Stream], session: Session, path: Path) -> None:
    """Announce the node as it is now; or, where that is not wanted any more, take back what was announced."""
    settings = config.mqtt.home_assistant
    topic, known = discovery_topic(settings.prefix, config.node), _known(path)
    if not settings.discovery:
        if known:
            session.announce(topic, b"")
        return
    labels = [label for label in manifest.labels if label not in manifest.background]
    entities = [StreamEntities(name, labels, stream.devices) for name, stream in streams.items()]
    has_updates = config.models.source is not None
    payload = discovery_payload(config.node, __version__, entities, known, has_updates=has_updates)
    session.announce(topic, payload.to_json())
    try:
        replace_file(path, _Known(platforms(payload)).model_dump_json().encode())
    except OSError as error:
        log.warning("%s: %s; entities that go later stay in Home Assistant", path, error.strerror or error)


def _known(path: Path) -> dict[str, str]:
    """What was announced before, with platforms."""
    try:
        return _Known.model_validate_json(read_bounded(path, MAX_BYTES)).root
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError):
        log.warning("%s cannot be read: entities that are gone stay in Home Assistant", path)
        return {}

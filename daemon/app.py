"""The node: wires the rooms together, runs until told to stop, and stops in order."""

import logging
import threading
from contextlib import ExitStack
from queue import Empty, SimpleQueue

from daemon import __version__
from daemon.announce import announce
from daemon.clock import NS_PER_S, monotonic_ns, seconds_until, wall_time
from daemon.config import Config
from daemon.control import Control
from daemon.flow.encode import Encoders
from daemon.flow.live import LiveFusion
from daemon.mqtt import Session, without_updates
from daemon.places import state_directory
from daemon.publish import Identity, StreamPublisher
from daemon.recogniser import Recogniser
from daemon.status.health import (
    AcceleratorHealth,
    Health,
    LatencyHealth,
    MqttHealth,
    OutboxHealth,
    accelerator_health,
    encoder_health,
    overall,
    process_health,
)
from daemon.status.latency import Latencies
from daemon.status.notify import Notifier
from daemon.status.service import Service
from daemon.stream import Stream, is_in_order
from daemon.switches import load_switches

log = logging.getLogger(__name__)

SOURCES_CLOSE_S = 1.5
ENCODERS_CLOSE_S = 0.4
FUSION_CLOSE_S = 0.4
ACCELERATORS_CLOSE_S = 0.4
SESSION_CLOSE_S = 1.5
"""Together well under the 5 s within which the service promises to stop."""

LOOK_EVERY_S = 0.25
"""How often the node looks whether its sources deliver, and for changes to report."""


class Node:
    """One daemon on one device."""

    def __init__(self, config: Config, recogniser: Recogniser) -> None:
        self._config = config
        self._recogniser = recogniser
        self._started_ns = monotonic_ns()
        self._latencies = Latencies()
        self._changed = threading.Event()
        state = state_directory(config)
        self._switches, self._announced = state / "switches.json", state / "announced.json"
        self._session = Session(
            config.mqtt,
            config.node,
            state,
            on_text=self._take_text,
            on_command=lambda request: self._control.obey(request),
        )
        self._publishers = {name: self._new_publisher(name) for name in config.streams}
        self._streams = {name: self._new_stream(name) for name in config.streams}
        self._control = Control(config, self._streams, self._switches, recogniser.bundle.manifest.id)

    def run(self, stop: SimpleQueue[None], notifier: Notifier) -> None:
        """Run until there is something in `stop`, or until every source has come to its end and no text can come.

        The service manager is told of it, and its watchdog fed, through `notifier`.
        """
        with ExitStack() as stack:
            stack.callback(self._session.stop, SESSION_CLOSE_S)
            stack.callback(self._publish_health)
            for publisher in self._publishers.values():
                publisher.begin()
            self._turn_as_left()
            self._publish_models()
            announce(self._config, self._recogniser.bundle.manifest, self._streams, self._session, self._announced)
            for remark in self._recogniser.stays_on_cpu:
                log.warning("%s", remark)
            stack.callback(self._close_accelerators)
            for accelerator in self._recogniser.accelerators:
                accelerator.start(self._changed.set)
            encoders = Encoders(self._recogniser.encoders)
            encoders.start()
            fusion, live = self._start_live(encoders, stack)
            stack.callback(encoders.close, ENCODERS_CLOSE_S)
            stack.callback(self._close_sources)
            self._session.start()  # now that there are inlets for what comes at once
            for name, stream in self._streams.items():
                if name not in live:
                    stream.start_in_order(encoders)
            accelerators = [accelerator.progress for accelerator in self._recogniser.accelerators]
            service = Service(notifier, [self._session.progress, fusion.progress, *encoders.progress, *accelerators])
            self._watch_over(stop, service)
            log.info("stopping")
            notifier.send(STOPPING="1", STATUS="stopping")
        log.info("stopped")

    def _turn_as_left(self) -> None:
        """Close what was closed when the daemon ended."""
        for name, switch in load_switches(self._switches, list(self._streams)).items():
            if not is_in_order(self._config.streams[name]):
                self._streams[name].turn(switch)

    def _start_live(self, encoders: Encoders, stack: ExitStack) -> tuple[LiveFusion, set[str]]:
        """Start all live streams on one fusion thread; gives it, and their names."""
        streams = [stream for name, stream in self._streams.items() if not is_in_order(self._config.streams[name])]
        head = self._recogniser.new_head()
        live = [stream.live(head) for stream in streams]
        fusion = LiveFusion(live)
        fusion.start()
        stack.callback(fusion.close, FUSION_CLOSE_S)
        for stream, part in zip(streams, live, strict=True):
            stream.start_live(part, encoders, fusion)
        return fusion, {stream.name for stream in streams}

    def _close_sources(self) -> None:
        for stream in self._streams.values():
            stream.request_stop()
        deadline_ns = monotonic_ns() + round(SOURCES_CLOSE_S * NS_PER_S)
        for stream in self._streams.values():
            left_behind = stream.join(deadline_ns)
            if left_behind:
                log.warning("%s: did not close in time: %s", stream.name, ", ".join(left_behind))

    def _close_accelerators(self) -> None:
        deadline_ns = monotonic_ns() + round(ACCELERATORS_CLOSE_S * NS_PER_S)
        for accelerator in self._recogniser.accelerators:
            if not accelerator.close(seconds_until(deadline_ns)):
                log.error("%s did not stop within %.1f s; left behind", accelerator.device.name, ACCELERATORS_CLOSE_S)

    def _watch_over(self, stop: SimpleQueue[None], service: Service) -> None:
        """Publish health at changes and at intervals, and let the service look, until it is time to stop."""
        published_ns = None
        while True:
            for stream in self._streams.values():
                stream.look()
            now_ns = monotonic_ns()
            due = published_ns is None or now_ns - published_ns >= self._config.health.every_s * NS_PER_S
            if due or self._changed.is_set():
                self._changed.clear()
                self._publish_health()
                published_ns = now_ns
            self._show(service)
            if all(stream.has_ended for stream in self._streams.values()):
                log.info("every source has come to its end")
                return
            try:
                stop.get(timeout=LOOK_EVERY_S)
            except Empty:
                continue
            return

    def _show(self, service: Service) -> None:
        sources = {
            f"{stream.name}/{name}": source
            for stream in self._streams.values()
            for name, source in stream.health().sources.items()
        }
        service.look(sources, self._accelerator_health(), streams=len(self._streams), connected=self._session.connected)

    def _publish_health(self) -> None:
        self._session.publish("health", self._health().to_json(), retain=True, qos=1)

    def _publish_models(self) -> None:
        manifest = self._recogniser.bundle.manifest
        payload = without_updates(self._config.node, manifest.name, manifest.version, wall_time(monotonic_ns()))
        self._session.publish("models", payload.to_json(), retain=True, qos=1)

    def _health(self) -> Health:
        streams = {name: stream.health() for name, stream in self._streams.items()}
        accelerators = self._accelerator_health()
        placements = self._recogniser.placements
        status = self._session.status()
        return Health(
            node=self._config.node,
            instance=self._session.instance,
            version=__version__,
            time=wall_time(monotonic_ns()),
            status=overall(streams, accelerators),
            bundle=self._recogniser.bundle.manifest.id,
            streams=streams,
            encoders={modality: encoder_health(place, accelerators) for modality, place in placements.items()},
            accelerators=accelerators,
            mqtt=MqttHealth(
                connected=status["connected"],
                since=wall_time(status["since_ns"]),
                reconnects=status["reconnects"],
                reason=status["reason"],
                published=status["published"],
                dropped=status["dropped"],
                outbox=OutboxHealth.model_validate(status["outbox"]),
            ),
            process=process_health(self._started_ns),
            latency_ms=LatencyHealth(p50=self._latencies.percentile_ms(50), p99=self._latencies.percentile_ms(99)),
        )

    def _accelerator_health(self) -> dict[str, AcceleratorHealth]:
        return {
            accelerator.device.name: accelerator_health(accelerator) for accelerator in self._recogniser.accelerators
        }

    def _new_publisher(self, name: str) -> StreamPublisher:
        manifest = self._recogniser.bundle.manifest
        identity = Identity(self._config.node, name, manifest.id, manifest.labels)
        in_order = is_in_order(self._config.streams[name])
        return StreamPublisher(
            identity, self._session, self._config.mqtt.recognitions, self._latencies, in_order=in_order
        )

    def _new_stream(self, name: str) -> Stream:
        return Stream(
            name, self._config.streams[name], self._recogniser, self._publishers[name], on_change=self._changed.set
        )

    def _take_text(self, stream: str, payload: bytes, retained: bool) -> None:
        known = self._streams.get(stream)
        if known is None or not known.take_text(payload, retained):
            self._session.counters.drop("text_for_no_stream")

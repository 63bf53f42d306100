"""The node: wires the rooms together, runs until told to stop, and stops in order."""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue

from daemon.config.node import Config, state_directory
from daemon.core.errors import Refused
from daemon.core.timing import NS_PER_S, monotonic_ns, wall_time
from daemon.mqtt.session import Session
from daemon.mqtt.update_payloads import without_updates
from daemon.node.active_bundle import ActiveBundle, errors_of, shown, take_the_same
from daemon.node.bundle_updates import Bundles, BundleUpdates
from daemon.node.control import Control
from daemon.node.reports import Reporter, accelerators_health, announce
from daemon.node.stream import Stream, is_in_order
from daemon.node.stream_publisher import Identity, Latencies, Shown, StreamPublisher
from daemon.node.switches import load_switches
from daemon.node.systemd import Notifier, Service
from daemon.pipeline.recogniser import Recogniser
from daemon.runtime.heartbeat import Heartbeat, short_switch_interval
from daemon.updates.state import BundleMetrics
from daemon.updates.updater import Updater

log = logging.getLogger(__name__)

SOURCES_CLOSE_S = 1.5
UPDATER_CLOSE_S = 0.4
SESSION_CLOSE_S = 1.5
"""Together with what closes in between, well under the 5 s within which the service promises to stop."""

NOTHING_YET = BundleMetrics(moments=0, errors=0, p99_ms=None, mean_top_score=None)

BEGINS_AGAIN_S = 90.0
"""For closing, loading a bundle and opening sources: as long as the unit allows for a start."""

LOOK_EVERY_S = 0.25
"""How often the node looks whether its sources deliver, and for changes to report."""


class Node:
    """One daemon on one device."""

    def __init__(self, config: Config, recogniser: Recogniser, bundles: Bundles | None = None) -> None:
        """Without `bundles` the recogniser's is used, always."""
        self._config = config
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
        self._streams: dict[str, Stream] = {}
        first = shown(recogniser, self._errors)
        self._publishers = {name: self._new_publisher(name) for name in config.streams}
        for name in config.streams:
            self._streams[name] = self._new_stream(name, recogniser, first)
        self._live = [stream for stream in self._streams.values() if stream.is_live]
        self._active_bundle = ActiveBundle(recogniser, first, self._live, on_change=self._changed.set)
        self._reporter = Reporter(config.node, monotonic_ns(), self._session, self._streams, self._latencies)
        self._bundles = bundles
        self._bundle_updates = None if bundles is None else BundleUpdates(config, bundles, self, self._session)
        updater = None if self._bundle_updates is None else self._bundle_updates.updater
        self._control = Control(config, self._streams, self._switches, lambda: self._active_bundle.bundle.id, updater)
        self._stop: SimpleQueue[None] = SimpleQueue()
        self._begins_again = self._is_stopping = False

    def run(self, stop: SimpleQueue[None], notifier: Notifier) -> bool:
        """Run until there is something in `stop`, or until every source has come to its end and no text can come.

        The service manager is told of it, and its watchdog fed, through `notifier`. Says whether a new node is to go
        on with another bundle, which wants its sources opened anew.
        """
        self._stop = stop
        with ExitStack() as stack:
            stack.callback(self._session.stop, SESSION_CLOSE_S)
            stack.callback(self._publish_health)
            for publisher in self._publishers.values():
                publisher.begin()
            self._turn_as_left()
            self._announce()
            self._publish_models()
            for remark in self._active_bundle.recogniser.stays_on_cpu:
                log.warning("%s", remark)
            self._active_bundle.start()
            stack.callback(self._active_bundle.close_accelerators)
            stack.callback(self._active_bundle.close_fusion)
            stack.callback(self._active_bundle.close_encoders)
            stack.callback(self._close_sources)
            self._session.start()  # now that there are inlets for what comes at once
            for stream in self._streams.values():
                if not stream.is_live:
                    stream.start_in_order(self._active_bundle.encoders)
            if self._bundle_updates is not None:
                self._bundle_updates.updater.start()
                stack.callback(self._close_updater, self._bundle_updates.updater)
            notifier.wait_as_usual()
            self._watch_over(stop, Service(notifier, self._loops))
            self._is_stopping = True
            if self._begins_again:
                log.info("opening the sources anew for another bundle")
                notifier.wait_longer(BEGINS_AGAIN_S)
            else:
                log.info("stopping")
                notifier.send(STOPPING="1", STATUS="stopping")
        log.info("stopped")
        return self._begins_again

    def prepare(self, directory: Path, bundle: str) -> Callable[[], None]:
        """Load a bundle beside the running one; what is returned switches to it. Raises Refused.

        Implements Host, for the updater's thread.
        """
        if self._bundles is None:
            raise Refused("bundles are not replaced here")
        with short_switch_interval():
            recogniser = self._bundles.load(directory)
            if (found := recogniser.bundle.manifest.id) != bundle:
                raise Refused(f"{directory}: is {found}, expected {bundle}")
            self._bundles.check(recogniser.bundle.manifest)
            bundle_shown = shown(recogniser, self._errors)
            if not take_the_same(self._active_bundle.recogniser.bundle.manifest, recogniser.bundle.manifest):
                for name in self._config.streams:  # which are made anew then: now it can still be refused
                    self._new_stream(name, recogniser, bundle_shown)
                return self._begin_again
            change = self._active_bundle.prepare(recogniser, bundle_shown)

        def switch() -> None:
            change()
            self._announce()
            log.info("%s has taken over", bundle)

        return switch

    def bundle_metrics(self) -> BundleMetrics:
        """How the running bundle does. Implements Host."""
        if self._begins_again:  # what still runs is not the one that is asked for
            return NOTHING_YET
        return self._active_bundle.bundle.signs.read()

    def _begin_again(self) -> None:
        if not self._is_stopping:
            self._begins_again = True
            self._stop.put(None)

    @staticmethod
    def _close_updater(updater: Updater) -> None:
        if not updater.close(UPDATER_CLOSE_S):
            log.warning("the updater did not stop within %.1f s; left behind", UPDATER_CLOSE_S)

    def _turn_as_left(self) -> None:
        """Close what was closed when the daemon ended."""
        switches = load_switches(self._switches, list(self._streams))
        for stream in self._live:
            stream.turn(switches[stream.name])

    def _announce(self) -> None:
        manifest = self._active_bundle.recogniser.bundle.manifest
        announce(self._config, manifest, self._streams, self._session, self._announced)

    def _close_sources(self) -> None:
        for stream in self._streams.values():
            stream.request_stop()
        deadline_ns = monotonic_ns() + round(SOURCES_CLOSE_S * NS_PER_S)
        for stream in self._streams.values():
            left_behind = stream.join(deadline_ns)
            if left_behind:
                log.warning("%s: did not close in time: %s", stream.name, ", ".join(left_behind))

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
            service.look(
                self._reporter.sources(),
                accelerators_health(self._active_bundle.recogniser.accelerators),
                streams=len(self._streams),
                connected=self._session.connected,
            )
            if all(stream.has_ended for stream in self._streams.values()):
                log.info("every source has come to its end")
                return
            try:
                stop.get(timeout=LOOK_EVERY_S)
            except Empty:
                continue
            return

    def _loops(self) -> list[Heartbeat]:
        updater = [] if self._bundle_updates is None else [self._bundle_updates.updater.progress]
        return [self._session.progress, *self._active_bundle.progress, *updater]

    def _publish_health(self) -> None:
        health = self._reporter.health(self._active_bundle.recogniser)
        self._session.publish("health", health.to_json(), retain=True, qos=1)

    def _publish_models(self) -> None:
        if self._bundle_updates is not None:
            self._bundle_updates.tell()
            return
        manifest = self._active_bundle.recogniser.bundle.manifest
        payload = without_updates(self._config.node, manifest.name, manifest.version, wall_time(monotonic_ns()))
        self._session.publish("models", payload.to_json(), retain=True, qos=1)

    def _errors(self) -> int:
        return errors_of(self._streams) + self._session.counters.dropped.get("recognition_not_finite", 0)

    def _new_publisher(self, name: str) -> StreamPublisher:
        identity = Identity(self._config.node, name)
        in_order = is_in_order(self._config.streams[name])
        return StreamPublisher(
            identity, self._session, self._config.mqtt.recognitions, self._latencies, in_order=in_order
        )

    def _new_stream(self, name: str, recogniser: Recogniser, bundle: Shown) -> Stream:
        config, publisher = self._config.streams[name], self._publishers[name]
        return Stream(name, config, recogniser, bundle, publisher, on_change=self._changed.set)

    def _take_text(self, stream: str, payload: bytes, retained: bool) -> None:
        known = self._streams.get(stream)
        if known is None or not known.take_text(payload, retained):
            self._session.counters.drop("text_for_no_stream")

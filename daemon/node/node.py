"""The node: starts its parts in order, watches them until a request to stop, and stops them in reverse order."""

import logging
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from daemon.config.node import Config
from daemon.core.records import EndedBy
from daemon.core.timing import NS_PER_S, monotonic_ns, wall_time
from daemon.mqtt.session import Session
from daemon.mqtt.update_payloads import without_updates
from daemon.node.active_bundle import ActiveBundle
from daemon.node.announcement import Announcement
from daemon.node.bundle_updates import ModelsTopic
from daemon.node.bundle_watch import BundleWatch
from daemon.node.command_thread import CommandThread
from daemon.node.device_id import DeviceId
from daemon.node.health import Health
from daemon.node.health_topics import HealthTopics, Messages
from daemon.node.local_server import LocalServer
from daemon.node.metrics_thread import MetricsThread, NoMetrics
from daemon.node.no_history import NoHistorian
from daemon.node.reload import Reload
from daemon.node.reports import Reporter, accelerators_health
from daemon.node.status import node_reasons
from daemon.node.stop_request import StopRequest
from daemon.node.stream import Stream
from daemon.node.stream_publisher import StreamPublisher
from daemon.node.switches import SwitchFile
from daemon.node.systemd import Notifier, Service
from daemon.node.teacher import NoTeacher, Teacher
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.memory import SettledMemory, give_back_memory
from daemon.runtime.processor import ProcessorShare
from daemon.runtime.thread_loop import survive
from daemon.updates.updater import Updater

if TYPE_CHECKING:
    from daemon.node.historian import Historian

log = logging.getLogger(__name__)

# together with all other parts, well under the 5 s within which the service promises to stop
SOURCES_CLOSE_S = 1.5
UPDATER_CLOSE_S, UPDATER_POLL_S = 0.4, 0.1
SESSION_CLOSE_S = 1.5

# before a restart: a bundle that is being loaded, and a slow disk
UPDATER_RESTART_S = 60.0

# These limits are for a stop, and for a restart: the next node writes the same files and listens on the same addresses.
COMMANDS_CLOSE_S = LOCAL_CLOSE_S = TEACHER_CLOSE_S = 0.3, 0.3
BUNDLE_WATCH_CLOSE_S = 0.1, 0.1
ANNOUNCEMENT_CLOSE_S = 0.1, UPDATER_RESTART_S
HISTORIAN_CLOSE_S = 0.4, UPDATER_RESTART_S
METRICS_CLOSE_S = 0.1, 5.0

# for closing, loading a bundle and opening sources: as long as the unit allows for a start
RESTART_S = 90.0

# why a node begins again, for the log
RESTARTS: dict[EndedBy, str] = {"bundle": "another bundle", "reload": "the changed config"}

# how often the node checks that its sources deliver, and looks for changes to report
LOOK_EVERY_S = 0.25


class Part(Protocol):
    """A part of the node with threads of its own."""

    def close(self, deadline_s: float, /) -> bool:
        """End; return whether it ended within the deadline."""


@dataclass(frozen=True, slots=True)
class Updates:
    """The updater of a node whose bundles are replaced, and the topic that reports it."""

    updater: Updater
    topic: ModelsTopic


@dataclass(frozen=True, kw_only=True)
class Node:
    """One daemon on one device, as `wiring.build` composes it."""

    config: Config
    session: Session
    publishers: Mapping[str, StreamPublisher]
    streams: Mapping[str, Stream]
    active: ActiveBundle
    announcement: Announcement
    updates: Updates | None
    switches: SwitchFile
    commands: CommandThread
    local: LocalServer | None
    device_id: DeviceId
    reporter: Reporter
    health_topics: HealthTopics
    bundle_watch: BundleWatch
    teacher: Teacher | NoTeacher
    historian: "Historian | NoHistorian"
    metrics: MetricsThread | NoMetrics
    changed: threading.Event
    stop: StopRequest

    def run(self, notifier: Notifier, reload: Reload) -> bool:
        """Run until asked to stop, or until all sources have ended and no text can come.

        Return whether another node must run next, because a bundle needs other sources or the config has changed.
        `notifier` reports to the service manager and feeds its watchdog. `reload` checks a changed config.
        Raises OSError when the system has no room for another thread. All parts are closed then.
        """
        self.stop.begin()
        with ExitStack() as stack:
            self._start(stack, reload)
            give_back_memory()  # of loading, and of the node before
            notifier.wait_as_usual()
            service = Service(notifier, self._heartbeats)
            survive("the daemon's own loop", partial(self._watch, service, reload))
            self.stop.close()
            if self.stop.restarts:
                log.info("beginning again with %s", RESTARTS[self.stop.ended_by])
                notifier.wait_longer(RESTART_S)
            else:
                log.info("stopping")
                notifier.send(STOPPING="1", STATUS="stopping")
        log.info("stopped")
        return self.stop.restarts

    @property
    def has_failed(self) -> bool:
        """Whether every source has ended, and one because its file is damaged or cut off."""
        streams = self.streams.values()
        return all(stream.has_ended for stream in streams) and any(stream.has_failed for stream in streams)

    def _start(self, stack: ExitStack, reload: Reload) -> None:
        """Start everything, and push onto the stack how to stop it. Raises OSError."""
        stack.callback(self.session.stop, SESSION_CLOSE_S)
        self.device_id.load()
        stack.callback(self._publish_health, reload)
        self.commands.start()
        stack.callback(self._close, self.commands, "the disk has not answered a command", COMMANDS_CLOSE_S)
        for publisher in self.publishers.values():
            publisher.begin()
        self._restore_switches()
        self._publish_models()
        for remark in self.active.recogniser.cpu_remarks:
            log.warning("%s", remark)
        # after fusion has ended its events, whose peaks and clips are stored
        stack.callback(self._close, self.teacher, "the disk has not taken what was taught", TEACHER_CLOSE_S)
        stack.callback(self._close, self.historian, "the disk has not taken the history", HISTORIAN_CLOSE_S)
        # before the start, which may fail halfway
        stack.callback(self.active.close_accelerators)
        stack.callback(self._close_fusion)
        stack.callback(self.active.close_encoders)
        stack.callback(self._close_sources)
        self.active.start()
        self.bundle_watch.start()
        stack.callback(self._close, self.bundle_watch, "the disk of the bundle has not answered", BUNDLE_WATCH_CLOSE_S)
        self.announcement.publish(self.active.recogniser.bundle.manifest)
        self.announcement.start()
        stack.callback(self._close, self.announcement, "the disk has not taken announced.json", ANNOUNCEMENT_CLOSE_S)
        text_sinks = {name: stream for name, stream in self.streams.items() if stream.takes_text}
        self.session.start(text_sinks, self.commands, self.device_id.stored)
        self.teacher.start()
        self.historian.start()
        self.metrics.start()
        stack.callback(self._close, self.metrics, "a reader of metrics has not ended", METRICS_CLOSE_S)
        for stream in self.streams.values():
            if not stream.is_live:
                stream.start_in_order(self.active.encoders)
        if self.updates is not None:
            self.updates.updater.start(self.updates.topic.publish)
            stack.callback(self._close_updater, self.updates.updater)
        if self.local is not None:
            stack.callback(self._close, self.local, "programs of this machine were not answered", LOCAL_CLOSE_S)
            self.local.start()

    def _restore_switches(self) -> None:
        """Close the cameras and microphones that were closed on request when the daemon ended."""
        live = {name: stream for name, stream in self.streams.items() if stream.is_live}
        for name, switch in self.switches.load(list(self.streams)).items():
            if name in live:
                live[name].turn(switch)

    def _watch(self, service: Service, reload: Reload) -> None:
        """Publish health at changes and at intervals, and keep the service informed, until it is time to stop."""
        processor, memory = ProcessorShare(), SettledMemory(monotonic_ns())
        while True:
            if self.stop.take_reload():
                service.begin_reload()
                reload.begin()
            if reload.look():
                self.stop.restart("reload")
                return
            processor.look()
            for stream in self.streams.values():
                stream.look(processor)
            self.teacher.follow(self.active.bundle.view.id)
            problems = node_reasons(
                self.reporter.mqtt(),
                self.teacher.health(),
                self.historian.health(),
                reload.problem,
                self.bundle_watch.change,
                self.metrics.problem,
                self.reporter.state_problem,
            )
            trouble = service.look(
                self.reporter.sources(),
                accelerators_health(self.active.recogniser.accelerators),
                processor,
                self.reporter.closed(),
                streams=len(self.streams),
                connected=self.session.connected,
                is_reloading=reload.is_checking,
                problems=[*self.session.faults(), *problems],
            )
            self.metrics.tell(trouble, reload.problem)
            now_ns = monotonic_ns()
            memory.look(now_ns)
            if self.changed.is_set() or self.health_topics.must_look(now_ns):
                self.changed.clear()
                self._publish(self.health_topics.due(self._health(reload, trouble), self._models_problem, now_ns))
            if all(stream.has_ended for stream in self.streams.values()):
                log.info("all sources have ended")
                return
            if self.stop.wait(LOOK_EVERY_S):
                return

    def _heartbeats(self) -> list[Heartbeat]:
        updater = [] if self.updates is None else [self.updates.updater.progress]
        sources = [heartbeat for stream in self.streams.values() for heartbeat in stream.heartbeats]
        own = [self.commands, self.teacher, self.historian, self.metrics, self.bundle_watch, self.announcement]
        local = [] if self.local is None else [self.local.progress]
        parts = [*(part.progress for part in own), *local, *updater]
        return [*self.session.heartbeats, *parts, *self.active.heartbeats, *sources]

    def _publish_health(self, reload: Reload) -> None:
        self._publish(self.health_topics.latest(self._health(reload), self._models_problem))

    def _publish(self, messages: Messages) -> None:
        for topic, payload in messages.items():
            self.session.publish(topic, payload, retain=True, qos=1)

    @property
    def _models_problem(self) -> str | None:
        return None if self.updates is None else self.updates.updater.source_problem

    def _health(self, reload: Reload, trouble: str | None = None) -> Health:
        return self.reporter.health(self.active.recogniser, trouble, reload.problem, self.metrics.problem)

    def _publish_models(self) -> None:
        if self.updates is not None:
            self.updates.topic.publish()
            return
        manifest = self.active.recogniser.bundle.manifest
        payload = without_updates(self.config.node, manifest.name, manifest.version, wall_time(monotonic_ns()))
        self.session.publish("models", payload.to_json(), retain=True, qos=1)

    def _close(self, part: Part, late: str, limits_s: tuple[float, float]) -> None:
        """Close a part within the limit of a stop or of a restart; `late` says what has not happened in time."""
        limit_s = limits_s[self.stop.restarts]
        if not part.close(limit_s):
            log.warning("%s within %.1f s; the daemon does not wait for it", late, limit_s)

    def _close_sources(self) -> None:
        for stream in self.streams.values():
            stream.request_stop(self.stop.ended_by)
        deadline_ns = monotonic_ns() + round(SOURCES_CLOSE_S * NS_PER_S)
        for stream in self.streams.values():
            if late := stream.join(deadline_ns):
                log.warning("%s: did not close in time: %s", stream.name, ", ".join(late))

    def _close_fusion(self) -> None:
        self.active.close_fusion(self.stop.ended_by)

    def _close_updater(self, updater: Updater) -> None:
        """Wait for the updater, and longer before a restart: the next node has an updater that writes the same file."""
        began_ns = monotonic_ns()
        while not updater.close(UPDATER_POLL_S):
            waited_s = (monotonic_ns() - began_ns) / NS_PER_S
            if waited_s >= (UPDATER_RESTART_S if self.stop.restarts else UPDATER_CLOSE_S):
                log.warning("the updater did not stop within %.1f s; the daemon does not wait for it", waited_s)
                return

"""Announces the node to Home Assistant, and withdraws entities that are gone, on a thread of its own."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from daemon import __version__
from daemon.bundle.manifest import LabelInfo, Manifest
from daemon.bundle.taught import state_name
from daemon.config.node import Config
from daemon.core.errors import shortage_behind
from daemon.core.files import read_own, replace_file
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.announcer import Heard, State, look
from daemon.mqtt.home_assistant.devices import Label, NodeDevice, StreamDevice
from daemon.mqtt.home_assistant.ledger import MAX_BYTES, Ledger, parse
from daemon.mqtt.home_assistant.withdrawal import Wanted
from daemon.node.stream import Stream
from daemon.pipeline.recogniser import event_labels
from daemon.runtime.heartbeat import DISK_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25

# after the disk has refused the file
RETRY_NS = 30 * NS_PER_S


class LedgerFile:
    """Keeps on disk what was announced, so that it can be removed after a restart. `stored` is what the file holds."""

    def __init__(self, path: Path, config: Config) -> None:
        """Read the file. Raises OSError where the system lacks descriptors for a moment."""
        self._path = path
        self._retry_ns: int | None = None
        settings = config.mqtt.home_assistant
        self.stored: Ledger | None = None
        self.ledger = Ledger(node=config.node)
        try:
            self.ledger = self.stored = parse(read_own(path, MAX_BYTES), config.node, settings.prefix)
        except FileNotFoundError:
            self.stored = self.ledger
        except (OSError, ValidationError) as error:
            if shortage_behind(error) is not None:
                raise
            log.warning("%s cannot be read; entities that are gone stay in Home Assistant", path)
        if settings.devices is not None:
            self.ledger = self.ledger.model_copy(update={"per_stream": settings.devices == "stream"})

    def save(self, ledger: Ledger, now_ns: int) -> None:
        """Replace the file if it holds something else. Waits for the disk. A full disk is tried again later."""
        if ledger == self.stored or (self._retry_ns is not None and now_ns < self._retry_ns):
            return
        try:
            replace_file(self._path, ledger.to_json())
        except OSError as error:
            if self._retry_ns is None:
                reason = error.strerror or error
                log.warning("%s: %s; entities that are removed later may stay in Home Assistant", self._path, reason)
            self._retry_ns = now_ns + RETRY_NS
        else:
            self.stored, self._retry_ns = ledger, None


class DiscoverySession(Protocol):
    """The part of a session that announcements use; see Session. Callable from any thread."""

    @property
    def limits(self) -> BrokerLimits | None:
        """What the broker takes; None while there is no connection."""

    @property
    def connects(self) -> int:
        """How often the session has connected."""

    @property
    def births(self) -> int:
        """How many starts of Home Assistant were heard live."""

    @property
    def is_home_assistant_up(self) -> bool:
        """Whether the latest start of Home Assistant was heard live, and no end since."""

    @property
    def announcing(self) -> frozenset[str]:
        """The topics whose latest announcement the broker has not taken."""

    def announce(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish under a topic outside of the node's own. Never blocks."""


class Announcement:
    """One thread, named `announcement`. It alone waits for the disk of the file.

    An entity is on disk before it is announced, unless the disk refuses the file.
    """

    def __init__(
        self, config: Config, streams: Mapping[str, Stream], session: DiscoverySession, file: LedgerFile
    ) -> None:
        self._config = config
        self._streams = streams
        self._session = session
        self._file = file
        self._state = State(file.ledger)
        self._wanted: Wanted | None = None
        self._stop = threading.Event()
        self.progress = Heartbeat("announcement")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Start the thread. Raises OSError where the system has room for no more threads."""
        self.progress.mark()
        self._thread.start()

    def close(self, deadline_s: float) -> bool:
        """Stop the thread; return whether it ended in time. The next start goes on with what is not done."""
        self._stop.set()
        return self._thread.join(deadline_s)

    def publish(self, manifest: Manifest) -> None:
        """Announce the node with the labels of a bundle, soon. Where discovery is off, withdraw what was announced."""
        self._wanted = self._announcements(manifest) if self._config.mqtt.home_assistant.discovery else {}

    def look(self, now_ns: int) -> None:
        """Send what is due. Waits for the disk."""
        session, wanted, limits = self._session, self._wanted, self._session.limits
        if wanted is None or limits is None:
            return
        heard = Heard(limits, session.connects, session.births, session.is_home_assistant_up, session.announcing)
        dropped = self._state.dropped
        self._state, messages = look(self._state, self._config.mqtt.home_assistant.prefix, wanted, heard, now_ns)
        if self._state.dropped > dropped:
            log.warning(
                "%d entities that are gone are not remembered any longer; delete them in Home Assistant",
                self._state.dropped - dropped,
            )
        self._file.save(self._state.ledger, now_ns)
        for message in messages:
            session.announce(message.topic, message.payload, retain=message.retain)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.progress.mark(DISK_S)
            self.look(monotonic_ns())
            self.progress.mark()
            self._stop.wait(LOOK_EVERY_S)

    def _announcements(self, manifest: Manifest) -> Wanted:
        config, language = self._config, self._config.mqtt.home_assistant.language
        node = NodeDevice(
            name=config.node,
            version=__version__,
            prefix=config.mqtt.home_assistant.prefix,
            has_updates=config.models.source is not None,
            teachable=config.can_teach,
        )
        streams = [
            StreamDevice(
                name=name,
                shown_name=config.streams[name].name,
                area=config.streams[name].area,
                labels=labels_of(manifest, name, language),
                devices=stream.devices,
                takes_text=stream.takes_text,
                states=states_of(manifest, name),
                has_snapshots=has_snapshots(config, name),
            )
            for name, stream in self._streams.items()
        ]
        return announcements(node, streams, per_stream=self._file.ledger.per_stream)


def labels_of(manifest: Manifest, stream: str, language: str | None) -> list[Label]:
    """Return the labels that make events in a stream, with what the bundle says about how they are shown.

    Labels that were taught are shown. A state of a group makes no events.
    """
    labels, makes_events = [], event_labels(manifest)
    for name in manifest.labels_in(stream):
        if name in makes_events:
            is_taught = name not in manifest.base_labels
            info = manifest.label_info.get(name, LabelInfo(shown=is_taught))
            shown_name = None if language is None else info.names.get(language)
            labels.append(
                Label(name, shown_name, info.kind, info.device_class, info.icon, info.shown, taught=is_taught)
            )
    return labels


def states_of(manifest: Manifest, stream: str) -> dict[str, list[str]]:
    """Return the states of each group that is recognised in a stream."""
    groups = {} if manifest.taught is None else manifest.taught.groups(stream)
    return {group: [state_name(label) for label in labels] for group, labels in groups.items()}


def has_snapshots(config: Config, stream: str) -> bool:
    """Return whether snapshots of a stream's events are published: the config asks for it, and there are pictures."""
    is_on = config.history is not None and config.history.publish_snapshots
    return is_on and "image" in config.streams[stream].senses


def hears_births(config: Config, ledger: Ledger) -> bool:
    """Return whether the node must hear of Home Assistant's starts: it announces itself, or must be withdrawn.

    Without a confirmed announcement there is nothing to withdraw, and the account may have no right to listen.
    """
    return config.mqtt.home_assistant.discovery or (ledger.is_confirmed and not ledger.is_empty)

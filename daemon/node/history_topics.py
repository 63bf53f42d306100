"""Publishes the latest snapshot of each stream, if the config asks for it, and removes it where it no longer does."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ValidationError, model_validator

from daemon.config.mqtt import TopicLevel
from daemon.core.document import StrictModel
from daemon.core.files import read_own, replace_file
from daemon.core.records import Counters
from daemon.mqtt.broker.limits import BrokerLimits

log = logging.getLogger(__name__)

SNAPSHOT = "snapshot"

# in the state directory
SNAPSHOTS_FILE = "snapshots.json"

# the largest picture that is published
MAX_BYTES = 100_000

# what the packet takes beside the picture, at the most
PACKET_BYTES = 1_000

# of the file that names the streams
MAX_FILE_BYTES = 100_000


class SnapshotFile(StrictModel):
    """The streams that have a retained snapshot. `version` is that of the file."""

    version: Literal[1] = 1
    streams: list[TopicLevel] = []

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, document: object) -> object:
        """Take the list that perceptd 0.7 has written."""
        return {"streams": document} if isinstance(document, list) else document


class SnapshotSession(Protocol):
    """The part of a session that snapshots use; see Session. Callable from any thread."""

    @property
    def limits(self) -> BrokerLimits | None:
        """What the broker takes; None while there is no connection."""

    @property
    def announcing(self) -> frozenset[str]:
        """The topics whose latest announcement the broker has not taken."""

    def announce(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish under a full topic; an empty message until the broker has taken it. Never blocks."""

    def publish(self, topic_suffix: str, payload: bytes, *, retain: bool = False, qos: int = 0) -> bool:
        """Queue a message for a topic of the node; return False when it was dropped. Never blocks."""


class SnapshotTopics:
    """The retained topics `<stream>/snapshot`. Used by one thread.

    A file in the state directory names the streams that have one, so that it is removed when that is turned off.
    `counters` counts as dropped: `snapshot`, pictures that the broker does not take in any size.
    """

    def __init__(
        self,
        node: str,
        streams: Collection[str],
        session: SnapshotSession,
        path: Path,
        counters: Counters,
        *,
        is_on: bool,
    ) -> None:
        """`streams` are those of the config. `is_on`: snapshots are published."""
        self.is_on = is_on
        self._node = node
        self._streams = frozenset(streams)
        self._session = session
        self._path = path
        self._counters = counters
        self._stored: frozenset[str] = frozenset()
        self._latest: dict[str, str] = {}  # the event of each stream whose snapshot is published

    def begin(self) -> None:
        """Remove the snapshots of streams that have none any more. Waits for the disk."""
        try:
            self._stored = frozenset(SnapshotFile.model_validate_json(read_own(self._path, MAX_FILE_BYTES)).streams)
        except FileNotFoundError:
            return
        except (OSError, ValidationError):
            log.warning("%s cannot be read; snapshots that the broker has stay there", self._path)
            return
        for stream in self._stored - (self._streams if self.is_on else frozenset()):
            self._remove(stream)

    def publish(self, stream: str, event: str, jpeg: bytes) -> None:
        """Publish the snapshot of an event. Waits for the disk when it is the first one of a stream."""
        from daemon.history.snapshots import shrunk_jpeg  # only a node that publishes snapshots loads it

        limits = self._session.limits
        most = None if limits is None else limits.max_packet_bytes
        small = shrunk_jpeg(jpeg, MAX_BYTES if most is None else min(MAX_BYTES, most - PACKET_BYTES))
        if small is None:
            self._counters.drop("snapshot")
            return
        self._store(self._stored | {stream})
        self._latest[stream] = event
        self._session.publish(f"{stream}/{SNAPSHOT}", small, retain=True, qos=1)

    def forget(self, event: str) -> None:
        """Remove the snapshot of an event that was deleted, if it is the published one."""
        for stream in [stream for stream, latest in self._latest.items() if latest == event]:
            del self._latest[stream]
            self._remove(stream)

    def close(self) -> None:
        """Forget the streams whose snapshots the broker has removed. Waits for the disk."""
        removing = self._session.announcing
        is_here = frozenset(stream for stream in self._stored if self.is_on and stream in self._streams)
        self._store(is_here | {stream for stream in self._stored if self._topic(stream) in removing})

    def _topic(self, stream: str) -> str:
        return f"perceptd/{self._node}/{stream}/{SNAPSHOT}"

    def _remove(self, stream: str) -> None:
        self._session.announce(self._topic(stream), b"")

    def _store(self, streams: frozenset[str]) -> None:
        if streams == self._stored:
            return
        try:
            replace_file(self._path, SnapshotFile(streams=sorted(streams)).model_dump_json().encode())
        except OSError as error:
            log.warning("%s: %s; a snapshot may stay with the broker when it is turned off", self._path, error.strerror)
        else:
            self._stored = streams

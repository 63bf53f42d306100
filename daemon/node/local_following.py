"""Messages to followers on the local socket: topics and events in their order, and the newest scores."""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.history.event_json import event_json
from daemon.history.records import KeptEvent
from daemon.mqtt.payloads import EventPayload
from daemon.mqtt.session import Session
from daemon.node.watching import Watching
from daemon.runtime.local import ALIVE_EVERY_S

# A follower that has not taken so many events is ended: it would get them late, and the memory would not end.
MAX_WAITING = 1000

# scores are sent at most this often
LOOK_EVERY_S = 0.2


class Follower:
    """The messages that one follower has not got yet. Thread-safe.

    Of each topic the newest value waits, in the order in which the values came. `is_behind`: it takes nothing.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str | int, dict[str, Any]] = OrderedDict()
        self._number = 0
        self._is_closed = False
        self.is_behind = False

    def put(self, message: dict[str, Any], topic: str | None = None) -> None:
        """Add a message, which replaces the one about the same topic. Never blocks."""
        with self._changed:
            self._number += 1
            if topic is not None:
                self._waiting.pop(topic, None)
            elif len(self._waiting) >= MAX_WAITING:
                self.is_behind = True
                return
            self._waiting[self._number if topic is None else topic] = message
            self._changed.notify()

    def take(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return what waits, oldest first. Wait for it at most so long."""
        with self._changed:
            if not self._waiting and not self._is_closed:
                self._changed.wait(timeout_s)
            taken = list(self._waiting.values())
            self._waiting.clear()
            return taken

    def close(self) -> None:
        """End the wait of the one who takes."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()


class Following:
    """Tells followers what the node publishes. Implements Listener of the session, and listens only if anybody follows.

    Callable from any thread.
    """

    def __init__(self, session: Session, watched: Mapping[str, Watching]) -> None:
        """`watched` has the scores of each stream."""
        self._session, self._watched = session, watched
        self._lock = threading.Lock()
        self._followers: tuple[Follower, ...] = ()

    def hear_topic(self, topic_suffix: str, payload: bytes) -> None:
        """Implements Listener. A retained value that is no JSON object, such as a picture, is left out."""
        content = json_object(payload)
        if content is not None:
            self._tell({"kind": "topic", "topic": topic_suffix, "payload": content}, topic_suffix)

    def hear_event(self, topic_suffix: str, payload: EventPayload) -> None:
        """Implements Listener."""
        stream = topic_suffix.partition("/")[0]
        content = payload.model_dump(mode="json", by_alias=True)
        self._tell({"kind": "event", "stream": stream, "payload": content})

    def hear_kept(self, event: KeptEvent, /) -> None:
        """Take an event of the history. Implements KeptSink."""
        if self._followers:
            self._tell({"kind": "kept", "event": event_json(event)})

    def begin(self) -> Follower:
        """Return a new follower, which gets the messages from now on."""
        follower = Follower()
        with self._lock:
            self._followers += (follower,)
            self._session.listener = self
        return follower

    def end(self, follower: Follower) -> None:
        """Send a follower no more messages."""
        with self._lock:
            self._followers = tuple(each for each in self._followers if each is not follower)
            if not self._followers:
                self._session.listener = None

    def close(self) -> None:
        """End the waits of all followers."""
        for follower in self._followers:
            follower.close()

    def messages(self, follower: Follower) -> Iterator[list[dict[str, Any]]]:
        """Yield the next messages to a follower, until it is behind. Some lists are empty."""
        sent: dict[str, int] = {}
        looked_ns = alive_ns = monotonic_ns()
        while not follower.is_behind:
            messages = follower.take(LOOK_EVERY_S)
            now_ns = monotonic_ns()
            if now_ns - looked_ns >= LOOK_EVERY_S * NS_PER_S / 2:
                looked_ns = now_ns
                messages += self._new_scores(sent)
            if now_ns - alive_ns >= ALIVE_EVERY_S * NS_PER_S:
                alive_ns = now_ns
                messages.append({"kind": "alive"})
            yield messages

    def _new_scores(self, sent: dict[str, int]) -> list[dict[str, Any]]:
        """Return the scores that are not sent yet, and note their numbers in `sent`."""
        messages = []
        for name, watching in self._watched.items():
            latest = watching.scores()
            if sent.get(name, 0) != latest.number:
                sent[name] = latest.number
                messages.append(latest.content)
        return messages

    def _tell(self, message: dict[str, Any], topic: str | None = None) -> None:
        for follower in self._followers:
            follower.put(message, topic)


def json_object(payload: bytes) -> dict[str, Any] | None:
    """Return the object in a payload; None: it is something else."""
    try:
        content = json.loads(payload.decode()) if payload[:1] == b"{" else None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None

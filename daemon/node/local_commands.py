"""Commands that come over the local socket: they take the way of those that come over MQTT."""

import json
import threading
from typing import Any

from daemon.core.errors import LocalError
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.mqtt.commands import MAX_NAME, AnswerPayload, CommandSink, Request

# a press waits for its last second, is encoded beside the live streams, and is stored on a slow card
ANSWER_S = 60.0

# how soon a wait ends when the daemon stops
LOOK_S = 0.1

STOPPING = "the daemon is stopping"


class PendingReply:
    """Waits for the answer to one command. Implements Reply."""

    def __init__(self) -> None:
        self._is_there = threading.Event()
        self._answer: AnswerPayload | None = None

    def take(self, answer: AnswerPayload) -> None:
        """Implements Reply."""
        self._answer = answer
        self._is_there.set()

    def wait(self, stop: threading.Event) -> AnswerPayload:
        """Return the answer. Raises LocalError where none comes in time, or where the daemon stops before."""
        until_ns = monotonic_ns() + round(ANSWER_S * NS_PER_S)
        while not self._is_there.wait(LOOK_S):
            if stop.is_set():
                raise LocalError("refused", STOPPING)
            if monotonic_ns() >= until_ns:
                raise LocalError("refused", f"no answer to the command within {ANSWER_S:g} s; the log may say why")
        if self._answer is None:
            raise RuntimeError("a reply without its answer")
        return self._answer


class LocalCommands:
    """Hands commands to the thread that obeys those of MQTT, and waits for their answers. Callable from any thread.

    What `mqtt.commands` forbids is forbidden over MQTT alone.
    """

    def __init__(self, sink: CommandSink) -> None:
        self._sink = sink

    def obey(self, name: str, arguments: dict[str, Any], stop: threading.Event) -> AnswerPayload:
        """Return the answer to a command. Raises LocalError where there is none."""
        reply = PendingReply()
        self._sink.take(Request(clean(name, MAX_NAME), json.dumps(arguments).encode(), reply=reply))
        return reply.wait(stop)

"""What comes in over MQTT: texts, commands, and Home Assistant saying that it has started."""

import logging
from collections.abc import Callable

from daemon.mqtt.client import Inbound
from daemon.mqtt.commands import MAX_CORRELATION_BYTES, AnswerPayload, Request, answer_topic
from daemon.mqtt.outgoing import Outbound
from daemon.records import Counters

log = logging.getLogger(__name__)

OnText = Callable[[str, bytes, bool], None]
"""Takes the stream's name, the raw payload, and whether the broker had it retained."""
OnCommand = Callable[[Request], AnswerPayload]
"""Obeys a command, or says why not."""


class Reception:
    """Hands on what comes under the topics of one node; what cannot be handed on is counted, and never raised."""

    def __init__(
        self, base: str, birth_topic: str | None, counters: Counters, on_text: OnText, on_command: OnCommand | None
    ) -> None:
        """`base` begins the node's topics; `birth_topic` is where Home Assistant says "online", if that matters."""
        self._base, self._birth_topic, self._counters = base, birth_topic, counters
        self._reserved = {"perceptd", "homeassistant", *([birth_topic.split("/")[0]] if birth_topic else [])}
        self._on_text, self._on_command = on_text, on_command

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        filters = [f"{self._base}+/text"]
        if self._on_command is not None:
            filters.append(f"{self._base}command/+")
        if self._birth_topic is not None:
            filters.append(self._birth_topic)
        return filters

    def is_birth(self, message: Inbound) -> bool:
        """Whether Home Assistant has just started, and is to be told everything again."""
        return message.topic == self._birth_topic and message.payload == b"online" and not message.retained

    def take(self, message: Inbound) -> Outbound | None:
        """Hand on one message; gives the answer to send, if one is due."""
        if message.topic == self._birth_topic:
            return None
        kind, _, name = message.topic.removeprefix(self._base).partition("/")
        try:
            if kind == "command" and self._on_command is not None:
                return self._obeyed(name, message, self._on_command)
            self._on_text(kind, message.payload, message.retained)
        except Exception:
            log.exception("taking a message under %s failed", message.topic)
            self._counters.drop("command_failed" if kind == "command" else "text_failed")
        return None

    def _obeyed(self, name: str, message: Inbound, obey: OnCommand) -> Outbound | None:
        if message.retained:  # nobody can say when it was meant
            self._counters.drop("command_retained")
            return None
        request = Request(name, message.payload, message.response_topic, message.correlation)
        payload = obey(request).to_json()
        correlation = (message.correlation or b"")[:MAX_CORRELATION_BYTES] or None
        return Outbound(answer_topic(request, self._base, self._reserved), payload, qos=1, correlation=correlation)

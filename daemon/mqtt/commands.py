"""Commands as they come over MQTT: what may be asked, and how it is answered. Pure."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from daemon.bundle.manifest import Name as BundleName
from daemon.bundle.manifest import Version
from daemon.core.document import StrictModel
from daemon.core.records import Counters
from daemon.mqtt.client import Inbound
from daemon.mqtt.payloads import Name, Payload, Time
from daemon.mqtt.send_queue import Outbound

MAX_COMMAND_BYTES = 4096
MAX_CORRELATION_BYTES = 1024
MAX_RESPONSE_TOPIC = 256
MAX_NAME = 64


class Arguments(StrictModel):
    """What the payload of a command may say: JSON, or nothing at all."""


class StreamArguments(Arguments, title="OfStream"):
    """Which stream is meant; none named: all."""

    stream: Name | None = None


class DeviceArguments(Arguments, title="OfDevice"):
    """Whether the camera or microphone of a stream is to be open."""

    stream: Name
    on: bool


class LogLevelArguments(Arguments, title="OfLogLevel"):
    """From which level on is logged."""

    level: Literal["debug", "info", "warning", "error"]


class InstallArguments(Arguments, title="OfInstall"):
    """Which bundle to install; without a version the latest, without a name the running bundle's."""

    name: BundleName | None = None
    version: Version | None = None


class PinArguments(Arguments, title="OfPin"):
    """Whether the running bundle is to stay until somebody asks for another."""

    on: bool


class NoArguments(Arguments, title="OfNothing"):
    """A command that takes no arguments."""


ARGUMENTS: dict[str, type[Arguments]] = {
    "pause": StreamArguments,
    "resume": StreamArguments,
    "mute": StreamArguments,
    "unmute": StreamArguments,
    "camera": DeviceArguments,
    "microphone": DeviceArguments,
    "log_level": LogLevelArguments,
    "describe": NoArguments,
    "models_check": NoArguments,
    "models_install": InstallArguments,
    "models_rollback": NoArguments,
    "models_pin": PinArguments,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A command as it came, and where its answer goes if its sender said so (MQTT 5)."""

    name: str
    payload: bytes
    response_topic: str | None = None
    correlation: bytes | None = None


class AnswerPayload(Payload):
    """What became of a command: done, or not and why. `result` is what `describe` tells."""

    command: Name
    ok: bool
    reason: str | None = None
    time: Time
    result: dict[str, Any] | None = None


class InvalidCommand(ValueError):
    """A command that cannot be obeyed; the message is the answer's reason."""


def parse_arguments(request: Request) -> Arguments:
    """What is asked. Raises Unfit."""
    model = ARGUMENTS.get(request.name)
    if model is None:
        raise InvalidCommand(f"unknown command; known are {', '.join(ARGUMENTS)}")
    if len(request.payload) > MAX_COMMAND_BYTES:
        raise InvalidCommand(f"{len(request.payload)} bytes; at most {MAX_COMMAND_BYTES} are taken")
    try:
        return model.model_validate_json(request.payload.strip() or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(level) for level in first["loc"])
        raise InvalidCommand(f"{where}: {first['msg']}" if where else first["msg"]) from error


def answer_topic(request: Request, base: str, reserved: Collection[str]) -> str:
    """Where the answer goes: what the sender asked for, if it is a topic that is not for others to write to.

    Whoever may send commands need not be allowed to speak as this node, or to Home Assistant: the daemon does not lend
    out its rights. `reserved` are the first levels of the topics that it may write to.
    """
    wanted = request.response_topic
    if wanted and len(wanted) <= MAX_RESPONSE_TOPIC and wanted.isprintable() and not set(wanted) & set("+#"):
        first = wanted.split("/")[0]
        if first not in reserved and not first.startswith("$"):
            return wanted
    return f"{base}command/{request.name[:MAX_NAME]}/result"


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

"""Obeys commands: pauses and mutes streams, sets the log level, describes the node, asks for other bundles."""

import logging
import platform
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from daemon import __version__
from daemon.config.node import Config
from daemon.config.streams import is_url
from daemon.core.ports import Updates
from daemon.core.timing import monotonic_ns, wall_time
from daemon.mqtt.commands import (
    AnswerPayload,
    Arguments,
    DeviceArguments,
    InstallArguments,
    InvalidCommand,
    LogLevelArguments,
    PinArguments,
    Request,
    StreamArguments,
    parse_arguments,
)
from daemon.node.active_bundle import ActiveBundle
from daemon.node.stream import Stream
from daemon.node.switches import Switch, SwitchFile

log = logging.getLogger(__name__)

CHANGES: dict[str, dict[str, bool]] = {
    "pause": {"paused": True},
    "resume": {"paused": False, "blind": False},
    "mute": {"muted": True},
    "unmute": {"muted": False},
}
"""What each command does to a stream's switch."""

BEGUN = "it has begun; the topic models shows the rest"
NO_SOURCE = "models.source in config.yaml is not set"


class Control:
    """Obeys commands. Used by one thread."""

    def __init__(
        self,
        config: Config,
        streams: Mapping[str, Stream],
        switches: SwitchFile,
        active: ActiveBundle,
        updates: Updates | None = None,
    ) -> None:
        """Without `updates` bundles are not replaced, and commands about them are refused."""
        self._config, self._streams = config, streams
        self._switches = switches
        self._active = active
        self._updates = updates

    def obey(self, request: Request) -> AnswerPayload:
        """Do what is asked, or say why not. Never raises for anything a command may hold."""
        result: dict[str, Any] | None = None
        reason: str | None = None
        try:
            order = parse_arguments(request)
            if _meanings(request.name, order) & set(self._config.mqtt.commands.forbidden):
                raise InvalidCommand("mqtt.commands.forbidden in config.yaml forbids it")
            reason, result = self._do(request.name, order)
        except InvalidCommand as error:
            log.warning("command %s: refused: %s", request.name[:32], error)
            return self._answer(request.name, ok=False, reason=str(error))
        log.info("command %s: done%s", request.name, f": {reason}" if reason else "")
        return self._answer(request.name, ok=True, reason=reason, result=result)

    def _do(self, name: str, order: Arguments) -> tuple[str | None, dict[str, Any] | None]:
        """Gives what is to be said though it is done, and what was asked for."""
        if isinstance(order, StreamArguments):
            return self._turn(order.stream, partial(_stream_turned, name)), None
        if isinstance(order, DeviceArguments):
            return self._turn(order.stream, partial(_device_turned, name, order.on), name), None
        if isinstance(order, LogLevelArguments):
            logging.getLogger().setLevel(order.level.upper())
            return None, None
        if name == "describe":
            return None, self._describe()
        if self._updates is None:
            raise InvalidCommand(NO_SOURCE)
        return _begun(self._updates, name, order), None

    def _turn(self, stream: str | None, turned: Callable[[Switch], Switch], device: str | None = None) -> str | None:
        """Turn the switch of one stream, or of all; gives what is to be said though it is done."""
        if stream is not None and stream not in self._streams:
            raise InvalidCommand(f"no stream {stream[:64]!r}; there are {', '.join(self._streams)}")
        meant = [known for name, known in self._streams.items() if stream == name or (stream is None and known.is_live)]
        if not all(each.is_live for each in meant):
            raise InvalidCommand(f"stream {stream} is replayed as fast as possible, which cannot be paused")
        for each in meant:
            if device is not None and device not in each.devices:
                raise InvalidCommand(f"stream {each.name} has no {device} of its own")
        before = {name: known.switch for name, known in self._streams.items()}
        for each in meant:
            each.turn(turned(each.switch))
        switches: dict[str, Switch] = {name: known.switch for name, known in self._streams.items()}
        if switches == before:
            return None
        try:
            self._switches.save(switches)
        except OSError as error:
            return f"it is forgotten at the next start: {self._switches.path}: {error.strerror or error}"
        return None

    def _describe(self) -> dict[str, Any]:
        versions = {"perceptd": __version__, "python": platform.python_version(), "numpy": np.__version__}
        versions |= {name: version(name) for name in ("paho-mqtt", "opencv-python-headless", "av")}
        return {
            "node": self._config.node,
            "bundle": self._active.bundle.id,
            "versions": versions,
            "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
            "config": _masked(self._config.model_dump(mode="json")),
        }

    @staticmethod
    def _answer(
        name: str, *, ok: bool, reason: str | None = None, result: dict[str, Any] | None = None
    ) -> AnswerPayload:
        return AnswerPayload(command=name[:64], ok=ok, reason=reason, time=wall_time(monotonic_ns()), result=result)


def _begun(updates: Updates, name: str, order: Arguments) -> str | None:
    """Pass on what bundles are to be; gives what is to be said of it. Raises Unfit when it is not taken."""
    if isinstance(order, InstallArguments):
        refusal = updates.install(order.name, order.version)
    elif isinstance(order, PinArguments):
        refusal = updates.pin(order.on)
    elif name == "models_rollback":
        refusal = updates.rollback()
    else:
        refusal = updates.check()
    if refusal is not None:
        raise InvalidCommand(refusal)
    return None if isinstance(order, PinArguments) else BEGUN


def _meanings(name: str, order: Arguments) -> set[str]:
    """The commands that this one amounts to, all of which must be allowed: opening a microphone is unmuting it."""
    if not isinstance(order, DeviceArguments):
        return {name}
    if order.on:  # of a paused stream it resumes a part
        return {name, "resume", *(["unmute"] if name == "microphone" else [])}
    return {name, "mute" if name == "microphone" else "pause"}


def _stream_turned(command: str, switch: Switch) -> Switch:
    return switch.model_copy(update=CHANGES[command])


def _device_turned(device: str, on: bool, switch: Switch) -> Switch:
    """With the camera or microphone open or closed, and the other one as it is: of a paused stream both are closed."""
    open_now = {"camera": not (switch.paused or switch.blind), "microphone": not (switch.paused or switch.muted)}
    wanted = open_now | {device: on}
    if switch.paused and not any(wanted.values()):
        return switch
    return Switch(paused=False, blind=not wanted["camera"], muted=not wanted["microphone"])


def _masked(value: Any) -> Any:
    """The value with no more of a URL than scheme and host: cameras take passwords in path and query too.

    Passwords of their own are stars already.
    """
    if isinstance(value, dict):
        return {key: "/***" if key == "websocket_path" else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    if isinstance(value, str) and is_url(value):
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname}/***"
    return value

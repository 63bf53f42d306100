"""Obeys commands: pauses and mutes streams, sets the log level, describes the node, and asks for other bundles."""

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
from daemon.core.logs import set_level
from daemon.core.ports import Updates
from daemon.mqtt.commands import (
    ARGUMENTS,
    AnswerPayload,
    Arguments,
    DeviceArguments,
    InstallArguments,
    InvalidCommand,
    LogLevelArguments,
    PinArguments,
    Request,
    StreamArguments,
    TeachAnswerArguments,
    TeachArguments,
    TeachingSink,
    answer_to,
    parse_arguments,
)
from daemon.node.active_bundle import ActiveBundle
from daemon.node.stream import Stream
from daemon.node.switches import Switch, SwitchFile

log = logging.getLogger(__name__)

# what each command changes of a stream's switch
CHANGES: dict[str, dict[str, bool]] = {
    "pause": {"paused": True},
    "resume": {"paused": False, "blind": False},
    "mute": {"muted": True},
    "unmute": {"muted": False},
}

ABOUT_SOUND = ("mute", "unmute")

# what the thread `teaching` obeys
TEACHING = frozenset(name for name in ARGUMENTS if name.startswith("teach"))

BEGUN = "it has begun; the topic models shows the rest"
IN_ORDER = "is replayed as fast as possible, which cannot be paused or muted"
NO_TEACHING = "this node cannot be taught"
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
        teaching: TeachingSink | None = None,
    ) -> None:
        """Without `updates` bundles are not replaced, and commands about them are refused.

        `teaching` takes the commands to teach; without it they are refused.
        """
        self._config, self._streams = config, streams
        self._switches = switches
        self._active = active
        self._updates = updates
        self._teaching = teaching

    def obey(self, request: Request) -> AnswerPayload | None:
        """Obey the command, or refuse it with a reason. Raises nothing, whatever the command holds.

        Waits until a switch is on disk. Returns None for a command that the thread `teaching` answers later.
        """
        result: dict[str, Any] | None = None
        reason: str | None = None
        try:
            arguments = parse_arguments(request)
            is_local = request.reply is not None  # mqtt.commands says what is forbidden over MQTT
            if not is_local and _implied_commands(request.name, arguments) & set(self._config.mqtt.commands.forbidden):
                raise InvalidCommand("mqtt.commands.forbidden in config.yaml forbids it")
            if request.name in TEACHING:
                self._teach(request, arguments)
                return None
            reason, result = self._execute(request.name, arguments)
        except InvalidCommand as error:
            log.warning("command %s: refused: %s", request.name, error)
            return answer_to(request.name, ok=False, reason=str(error))
        log.info("command %s: done%s", request.name, f": {reason}" if reason else "")
        return answer_to(request.name, ok=True, reason=reason, result=result)

    def keep_switches(self) -> None:
        """Write the switches again if somebody has removed their file. Waits for the disk."""
        self._switches.restore({name: each.switch for name, each in self._streams.items()})

    def _teach(self, request: Request, arguments: Arguments) -> None:
        if self._teaching is None:
            raise InvalidCommand(NO_TEACHING)
        self._teaching.take(request, arguments)

    def _execute(self, name: str, arguments: Arguments) -> tuple[str | None, dict[str, Any] | None]:
        """Execute a command; return a remark about it and its result."""
        if isinstance(arguments, StreamArguments):
            return self._turn(name, arguments.stream, partial(_stream_turned, name)), None
        if isinstance(arguments, DeviceArguments):
            return self._turn(name, arguments.stream, partial(_device_turned, name, arguments.on), name), None
        if isinstance(arguments, LogLevelArguments):
            set_level(arguments.level)
            return None, None
        if name == "describe":
            return None, self._describe()
        if self._updates is None:
            raise InvalidCommand(NO_SOURCE)
        return _request_update(self._updates, name, arguments), None

    def _turn(
        self, command: str, stream: str | None, turned: Callable[[Switch], Switch], device: str | None = None
    ) -> str | None:
        """Change the switch of one stream or of all live streams; return a remark, if there is one."""
        if stream is not None and stream not in self._streams:
            raise InvalidCommand(f"no stream {stream[:64]!r}; there are {', '.join(self._streams)}")
        targets = [each for name, each in self._streams.items() if stream == name or (stream is None and each.is_live)]
        if not targets:
            raise InvalidCommand(f"there is nothing to {command}: every stream {IN_ORDER}")
        if not all(each.is_live for each in targets):
            raise InvalidCommand(f"stream {stream} {IN_ORDER}")
        for each in targets:
            if device is not None and device not in each.devices:
                raise InvalidCommand(f"stream {each.name} has no {device} of its own")
        before = {name: each.switch for name, each in self._streams.items()}
        for each in targets:
            each.turn(turned(each.switch))
        is_silent = command in ABOUT_SOUND and not any(self._config.streams[each.name].may_hear for each in targets)
        remark = (
            f"{'the node' if stream is None else f'stream {stream}'} has no sound at present" if is_silent else None
        )
        switches: dict[str, Switch] = {name: each.switch for name, each in self._streams.items()}
        if switches == before:
            return remark
        try:
            self._switches.save(switches)
        except OSError as error:
            return f"it is forgotten at the next start: {self._switches.path}: {error.strerror or error}"
        return remark

    def _describe(self) -> dict[str, Any]:
        versions = {"perceptd": __version__, "python": platform.python_version(), "numpy": np.__version__}
        versions |= {name: version(name) for name in ("paho-mqtt", "opencv-python-headless", "av")}
        return {
            "node": self._config.node,
            "bundle": self._active.bundle.view.id,
            "versions": versions,
            "machine": f"{platform.system()} {platform.release()} {platform.machine()}",
            "config": _masked(self._config.model_dump(mode="json")),
        }


def _request_update(updates: Updates, name: str, arguments: Arguments) -> str | None:
    """Pass a command about bundles to the updater; return a remark. Raises InvalidCommand when it is refused."""
    if isinstance(arguments, InstallArguments):
        refusal = updates.install(arguments.name, arguments.version)
    elif isinstance(arguments, PinArguments):
        refusal = updates.pin(arguments.on)
    elif name == "models_rollback":
        refusal = updates.rollback()
    else:
        refusal = updates.check()
    if refusal is not None:
        raise InvalidCommand(refusal)
    return None if isinstance(arguments, PinArguments) else BEGUN


def _implied_commands(name: str, arguments: Arguments) -> set[str]:
    """Return the commands that a command implies; all of them must be allowed.

    Opening a microphone unmutes it. What was missed teaches. Each answer to a question may make an example, or call
    a moment wrong: which of both depends on whether there was an event.
    """
    if isinstance(arguments, TeachArguments):
        return {name, "teach"}
    if isinstance(arguments, TeachAnswerArguments):
        return {name, "teach", "teach_wrong"}
    if not isinstance(arguments, DeviceArguments):
        return {name}
    if arguments.on:  # this resumes a part of a paused stream
        return {name, "resume", *(["unmute"] if name == "microphone" else [])}
    return {name, "mute" if name == "microphone" else "pause"}


def _stream_turned(command: str, switch: Switch) -> Switch:
    return switch.model_copy(update=CHANGES[command])


def _device_turned(device: str, on: bool, switch: Switch) -> Switch:
    """Return the switch with one device open or closed, and the other as it is. A paused stream has both closed."""
    open_now = {"camera": not (switch.paused or switch.blind), "microphone": not (switch.paused or switch.muted)}
    requested = open_now | {device: on}
    if switch.paused and not any(requested.values()):
        return switch
    return Switch(paused=False, blind=not requested["camera"], muted=not requested["microphone"])


def _masked(value: Any) -> Any:
    """Return the value with scheme and host of each URL only: path and query of a camera may hold a password.

    Keys that are passwords are masked already.
    """
    if isinstance(value, dict):
        return {key: "/***" if key == "websocket_path" else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner) for inner in value]
    if isinstance(value, str) and is_url(value):
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.hostname}/***"
    return value

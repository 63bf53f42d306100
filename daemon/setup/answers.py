"""Reads single answers, typed or given as options. Each raises ValueError, which says what is expected. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from daemon.config.broker_options import parse_broker
from daemon.config.mqtt import Host, TopicLevel
from daemon.config.streams import CameraConfig, StreamName
from daemon.core.document import expected_text
from daemon.core.errors import Refused
from daemon.setup.choices import Choices
from daemon.setup.login import has_login

T = TypeVar("T")

NONE = "none"

MQTT_PORT = 1883
TLS_PORT = 8883

MAX_PASSWORD_BYTES = 4000

_NODE: TypeAdapter[str] = TypeAdapter(TopicLevel)
_STREAM: TypeAdapter[str] = TypeAdapter(StreamName)
_HOST: TypeAdapter[str] = TypeAdapter(Host)


def node_name(text: str) -> str:
    """Return the name of a node."""
    return _checked(_NODE.validate_python, text)


def stream_name(text: str) -> str:
    """Return the name of a stream."""
    return _checked(_STREAM.validate_python, text)


def camera(text: str) -> int | str | None:
    """Return a camera as `camera.device` takes it; None: no camera. The path of a file becomes absolute."""
    if text == NONE:
        return None
    config = _checked(_camera_config, int(text) if _is_number(text) else text)
    return str(Path(text).absolute()) if config.is_file else config.device


def microphone(text: str) -> int | str | None:
    """Return a microphone as `microphone.device` takes it; None: no microphone."""
    if not text:
        raise ValueError("expected a name or number of `perceptd devices`, camera, or none")
    if text == NONE:
        return None
    return int(text) if _is_number(text) else text


def broker(text: str) -> tuple[str, int | None]:
    """Return host and port of a broker; None: no port was given."""
    host, port = parse_broker(text)
    return _checked(_HOST.validate_python, host), port


def bundle(text: str) -> str:
    """Return the name of a bundle, or its directory, which becomes absolute."""
    if not text:
        raise ValueError("expected the name of a bundle, or a directory")
    return text if "/" not in text else str(Path(text).absolute())


def password(text: str) -> str:
    """Return a password that one line of a file can hold."""
    if not text or "\n" in text or "\r" in text or len(text.encode()) > MAX_PASSWORD_BYTES:
        raise ValueError(f"expected a password of one line, of at most {MAX_PASSWORD_BYTES} bytes")
    return text


@dataclass(frozen=True, slots=True)
class Given:
    """The answers that options give; None: not given. `tls` is a file with a certificate authority, or empty.

    `camera` is given by the option `camera_option`, `password` by a file.
    """

    node: str | None = None
    stream: str | None = None
    camera: str | None = field(default=None, repr=False)
    camera_option: str = "--camera"
    microphone: str | None = None
    broker: str | None = None
    tls: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bundle: str | None = None


def with_given(choices: Choices, given: Given) -> Choices:
    """Return the choices with the answers of the options. Raises Refused, which names the option."""
    changes: dict[str, Any] = {}
    if given.node is not None:
        changes["node"] = _option("--node", node_name, given.node)
    if given.stream is not None:
        changes["stream"] = _option("--stream", stream_name, given.stream)
    if given.camera is not None:
        changes["camera"] = _option(given.camera_option, camera, given.camera)
        if given.camera_option == "--camera" and has_login(changes["camera"]):
            raise Refused(
                "--camera: every user of this machine can see the password in the list of processes; "
                "write the URL into a file that only you can read, and give --camera-file FILE"
            )
    if given.microphone is not None:
        changes["microphone"] = _option("--microphone", microphone, given.microphone)
    if given.broker is not None:
        host, port = _option("--broker", broker, given.broker)
        default = TLS_PORT if given.tls is not None else MQTT_PORT
        changes |= {"hosts": (host,), "port": port or default, "tls": False, "ca_file": None}
    if given.tls is not None:
        changes |= {"tls": True, "ca_file": str(Path(given.tls).absolute()) if given.tls else None}
    if given.username is not None:
        changes["username"] = given.username or None
    if given.password is not None:
        changes["password"] = _option("--password-file", password, given.password)
    if given.bundle is not None:
        changes["bundle"] = _option("--bundle", bundle, given.bundle)
    return replace(choices, **changes)


def missing(choices: Choices) -> list[str]:
    """Return what still has to be given before a config can be written."""
    needs = []
    if choices.camera is None and choices.microphone is None:
        needs.append("--camera DEVICE, --camera-file FILE or --microphone NAME: what the node watches or listens to")
    if choices.password is not None and choices.username is None:
        needs.append("--username NAME: whose password --password-file has")
    return needs


def _option(name: str, read: Callable[[str], T], text: str) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise Refused(f"{name}: {error}") from error


def _camera_config(device: int | str) -> CameraConfig:
    return CameraConfig(device=device)


def _checked(read: Callable[[Any], T], value: object) -> T:
    try:
        return read(value)
    except ValidationError as error:
        raise ValueError(expected_text(error.errors(include_url=False)[0])) from error


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6

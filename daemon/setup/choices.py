"""What was chosen in a setup, and what becomes of the config before it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from daemon.config.node import Config

# beside the config, like the file that docs/security.md describes
PASSWORD_FILE = "mqtt-password"  # noqa: S105  (the name of the file)

# the place that is watched, unless somebody names it
FIRST_STREAM = "room"

# the recording that the shipped config plays
DEMO = "models/digits/demo/clip.mp4"

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """What setup asks for. None for a camera or a microphone: there is none.

    `bundle` is a directory, or the name of a bundle. `password` is a new password for the broker; None: the one that
    the config has stays. `ca_file` verifies the broker; None: the certificates of the system do.
    """

    node: str
    stream: str = FIRST_STREAM
    camera: int | str | None = field(default=None, repr=False)
    microphone: int | str | None = None
    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 1883
    tls: bool = False
    ca_file: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bundle: str = ""


def values_of(config: Config) -> Values:
    """Return the keys of a config that differ from their defaults, as they stand in the file."""
    values: Values = _revealed(config.model_dump(by_alias=True, exclude_defaults=True))
    return values


def is_demo(values: Mapping[str, Any]) -> bool:
    """Return whether these are the values of the config that an installation begins with: it plays the demo."""
    demo = values.get("streams", {}).get("demo", {})
    return (
        values.keys() == {"node", "bundle", "streams"}
        and values["node"] == "demo"
        and values["streams"].keys() == {"demo"}
        and demo.keys() == {"replay"}
        and str(demo["replay"]["file"]).endswith(DEMO)
    )


def choices_of(config: Config, defaults: Choices, stream: str | None = None) -> Choices:
    """Return what a config has chosen, for one of its streams: by default its first. `defaults` fills what it lacks.

    A stream that it does not have is a new one, without camera and microphone.
    """
    name = stream or next(iter(config.streams), defaults.stream)
    place = config.streams.get(name)
    mqtt = config.mqtt
    return Choices(
        node=config.node or defaults.node,
        stream=name,
        camera=None if place is None or place.camera is None else place.camera.device,
        microphone=None if place is None or place.microphone is None else place.microphone.device,
        hosts=mqtt.hosts,
        port=mqtt.port,
        tls=mqtt.tls is not None,
        ca_file=None if mqtt.tls is None else mqtt.tls.ca_file,
        username=mqtt.username,
        bundle=config.bundle or defaults.bundle,
    )


def merged(before: Mapping[str, Any], choices: Choices) -> Values:
    """Return the values of a config with these choices. All else stays as it was before.

    What belongs to a device, such as the masks of a camera, stays while the device stays.
    """
    streams = dict(before.get("streams", {}))
    streams[choices.stream] = _stream(streams.get(choices.stream, {}), choices)
    chosen: Values = {
        "node": choices.node,
        "bundle": choices.bundle,
        "mqtt": _mqtt(before.get("mqtt", {}), choices),
        "streams": streams,
    }
    return chosen | {key: value for key, value in before.items() if key not in chosen}


def lost_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys that a config had before and has no longer, such as `streams.door.camera.masks`."""
    return [".".join(map(str, path)) for path in _lost(before, after)]


def _mqtt(before: Mapping[str, Any], choices: Choices) -> Values:
    chosen = ("host", "port", "tls", "username", "password", "password_file")
    mqtt: Values = {"host": choices.hosts[0] if len(choices.hosts) == 1 else list(choices.hosts), "port": choices.port}
    if choices.tls:
        tls = {key: value for key, value in (before.get("tls") or {}).items() if key != "ca_file"}
        mqtt["tls"] = tls if choices.ca_file is None else {"ca_file": choices.ca_file, **tls}
    if choices.username is not None:
        mqtt["username"] = choices.username
    if choices.password is not None:
        mqtt["password_file"] = PASSWORD_FILE
    elif choices.username == before.get("username"):
        mqtt |= {key: before[key] for key in ("password", "password_file") if key in before}
    return mqtt | {key: value for key, value in before.items() if key not in chosen}


def _stream(before: Mapping[str, Any], choices: Choices) -> Values:
    stream: Values = {}
    for key, device in (("camera", choices.camera), ("microphone", choices.microphone)):
        if device is not None:
            had = before.get(key) or {}
            # a microphone without a device is the default one
            is_same = bool(had) and had.get("device", "default") == device
            stream[key] = {"device": device, **(had if is_same else {})}
    # devices and a recording exclude each other
    chosen = ("camera", "microphone", "replay") if stream else ("camera", "microphone")
    return stream | {key: value for key, value in before.items() if key not in chosen}


def _lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in before.items():
        if key not in after:
            yield (key,)
        elif isinstance(value, Mapping) and isinstance(after[key], Mapping):
            yield from ((key, *rest) for rest in _lost(value, after[key]))


def _revealed(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _revealed(each) for key, each in value.items()}
    return [_revealed(each) for each in value] if isinstance(value, list) else value

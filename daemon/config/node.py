"""The schema of `config.yaml`: validated whole, then frozen. The shipped config.yaml documents every key."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from daemon.bundle.manifest import Number
from daemon.config.devices import DevicesConfig
from daemon.config.mqtt import MqttConfig, TopicLevel, override_broker, with_absolute_paths
from daemon.config.streams import (
    CameraConfig,
    MicrophoneConfig,
    StreamConfig,
    StreamName,
    is_url,
    stream_with_absolute_paths,
)
from daemon.config.updates import ModelsConfig, root_problem
from daemon.core.document import Loaded, StrictModel, load_document
from daemon.core.errors import DocumentError
from daemon.core.text import redact


class HealthConfig(StrictModel):
    """How often the retained health is renewed when nothing changes."""

    every_s: Annotated[Number, Field(ge=1, le=3600)] = 10.0


class Config(StrictModel):
    """A whole `config.yaml`."""

    node: TopicLevel
    bundle: str
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    state_directory: str | None = None
    models: ModelsConfig = ModelsConfig()
    devices: DevicesConfig = DevicesConfig()
    mqtt: MqttConfig = MqttConfig()
    health: HealthConfig = HealthConfig()
    streams: Annotated[dict[StreamName, StreamConfig], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _models_can_be_replaced(self) -> "Config":
        fast = [name for name, stream in self.streams.items() if stream.replay and stream.replay.pace == "fast"]
        if self.models.source is not None and fast:
            raise ValueError(f"models.source is for nodes that run on: stream {fast[0]} is replayed at pace: fast")
        return self


def load_config(path: Path) -> Loaded[Config]:
    """Read and validate a config; paths in it are taken relative to its directory. Raises DocumentError."""
    loaded = load_document(path, Config)
    config = loaded.document
    base = path.resolve().parent
    streams = {name: stream_with_absolute_paths(stream, base) for name, stream in config.streams.items()}
    update: dict[str, object] = {"bundle": str(base / config.bundle), "streams": streams}
    update["models"] = config.models.with_absolute_paths(base)
    update["devices"] = config.devices.with_absolute_paths(base)
    update["mqtt"] = with_absolute_paths(config.mqtt, base)
    if config.state_directory is not None:
        update["state_directory"] = str(base / config.state_directory)
    absolute = config.model_copy(update=update)
    return replace(loaded, document=absolute)


def override_devices(config: Config, camera: str | None, microphone: str | None) -> Config:
    """The config with its first stream watching these devices instead of its own sources.

    Raises DocumentError when a device is not one.
    """
    if camera is None and microphone is None:
        return config
    name, stream = next(iter(config.streams.items()))
    devices: dict[str, object] = {"replay": None, "camera": None, "microphone": None}
    try:
        if camera is not None:
            devices["camera"] = CameraConfig(device=_number_or_name(camera))
        if microphone is not None:
            devices["microphone"] = MicrophoneConfig(device=_number_or_name(microphone))
        replaced = StreamConfig.model_validate({**dict(stream), **devices})
    except ValidationError as error:
        problems = [problem["msg"].removeprefix("Value error, ") for problem in error.errors()]
        raise DocumentError([redact(f"--camera, --microphone: {problem}") for problem in problems]) from error
    return config.model_copy(update={"streams": {**config.streams, name: replaced}})


def broker_and_node(broker: str | None, node: str | None, path: Path) -> tuple[MqttConfig, str]:
    """What to reach a running node by: from options, and what they leave open from the config. Raises DocumentError."""
    if broker and node:
        return override_broker(broker, MqttConfig()), node
    config = load_config(path).document
    return override_broker(broker, config.mqtt), node or config.node


def missing_files(config: Loaded[Config]) -> list[str]:
    """What the config's streams play that is not there now, each with its place; a running node would wait for it."""
    remarks = []
    for name, stream in config.document.streams.items():
        played: dict[tuple[str, str], object] = {
            ("replay", "file"): stream.replay.file if stream.replay else None,
            ("camera", "device"): stream.camera.device if stream.camera and stream.camera_has_sound else None,
        }
        for key, file in played.items():
            if isinstance(file, str) and not is_url(file) and not Path(file).is_file():
                remarks.append(f"{config.where('streams', name, *key)}: no such file now: {file}")
    return remarks


def root_file_problems(config: Loaded[Config]) -> list[str]:
    """What is wrong with the root.json of the config, with its place; a running node would keep the bundle it has."""
    models = config.document.models
    problem = None if models.source is None or models.root is None else root_problem(Path(models.root))
    return [] if problem is None else [f"{config.where('models', 'root')}: {problem}"]


def _number_or_name(device: str) -> int | str:
    return int(device) if device.isdecimal() else device


def state_directory(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """The config's directory, or systemd's for the service, or one of the user's own for this node."""
    if config.state_directory is not None:
        return Path(config.state_directory)
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])  # systemd.exec(5): several are joined by colons
    # XDG Base Directory Specification: data that is kept between restarts, but not worth carrying to other machines
    base = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "perceptd" / config.node


def models_directory(config: Config) -> Path:
    """Where bundles from afar are kept."""
    return state_directory(config) / "models"

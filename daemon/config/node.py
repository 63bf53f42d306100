"""The schema of config.yaml, and its loading.

The shipped config.yaml documents every key.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from daemon.bundle.encoder_specs import Number
from daemon.config.devices import DevicesConfig
from daemon.config.history import HistoryConfig
from daemon.config.metrics import MetricsConfig
from daemon.config.mqtt import MqttConfig, TopicLevel
from daemon.config.page import PageConfig
from daemon.config.places import SERVICE_CONFIG, SERVICE_STATE
from daemon.config.streams import (
    StreamConfig,
    StreamName,
    is_url,
)
from daemon.config.teaching import TeachingConfig
from daemon.config.updates import ModelsConfig, root_problem
from daemon.config.views import view_problems
from daemon.core.document import Loaded, StrictModel, load_document, parse_document, problem_at
from daemon.core.records import Modality

# in the state directory: what was downloaded
MODELS = "models"
# and what was taught
TEACHING = "teaching"
# and events with picture and sound
HISTORY = "history"
# the socket of a daemon that has not got one from systemd
LOCAL_SOCKET = "local.sock"


class HealthConfig(StrictModel):
    """How often the retained health message is renewed while nothing changes."""

    every_s: Annotated[Number, Field(ge=1, le=3600)] = 30.0


class Config(StrictModel):
    """The content of config.yaml."""

    node: TopicLevel
    bundle: str
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    state_directory: str | None = None
    models: ModelsConfig = ModelsConfig()
    teaching: TeachingConfig = TeachingConfig()
    history: HistoryConfig | None = None
    page: PageConfig = PageConfig()
    metrics: MetricsConfig | None = None
    devices: DevicesConfig = DevicesConfig()
    mqtt: MqttConfig = MqttConfig()
    health: HealthConfig = HealthConfig()
    streams: Annotated[dict[StreamName, StreamConfig], Field(min_length=1, max_length=64)]

    @property
    def senses(self) -> frozenset[Modality]:
        """Return the modalities that any of the streams may deliver."""
        return frozenset[Modality]().union(*(stream.senses for stream in self.streams.values()))

    @property
    def can_teach(self) -> bool:
        """Return whether labels can be taught: the config allows it, and the node keeps running."""
        return self.teaching.enabled and not self._fast

    @property
    def replaces_bundles(self) -> bool:
        """Return whether another bundle than the config's own may run."""
        return self.models.source is not None or self.can_teach

    @property
    def _fast(self) -> list[str]:
        return [name for name, stream in self.streams.items() if stream.replay and stream.replay.pace == "fast"]

    @model_validator(mode="after")
    def _check_views(self) -> "Config":
        for name, problem in view_problems(self.streams).items():
            raise problem_at(problem, "streams", name, "camera", "device")
        return self

    @model_validator(mode="after")
    def _check_fast_replay(self) -> "Config":
        fast = self._fast
        if self.models.source is not None and fast:
            raise ValueError(
                f"models.source needs a node that keeps running, but stream {fast[0]} is replayed at pace: fast"
            )
        return self


def load_config(path: Path, text: bytes | None = None) -> Loaded[Config]:
    """Read and validate a config; its paths become relative to its directory. Raises DocumentError.

    `text` is read instead of what the file has now.
    """
    loaded = load_document(path, Config) if text is None else parse_document(path, text, Config)
    config = loaded.document
    base = path.resolve().parent
    streams = {name: stream.with_absolute_paths(base) for name, stream in config.streams.items()}
    update: dict[str, object] = {"bundle": str(base / config.bundle), "streams": streams}
    update["models"] = config.models.with_absolute_paths(base)
    update["devices"] = config.devices.with_absolute_paths(base)
    update["mqtt"] = config.mqtt.with_absolute_paths(base)
    update["page"] = config.page.with_absolute_paths(base)
    if config.metrics is not None:
        update["metrics"] = config.metrics.with_absolute_paths(base)
    if config.state_directory is not None:
        update["state_directory"] = str(base / config.state_directory)
    absolute = config.model_copy(update=update)
    return replace(loaded, document=absolute)


def missing_files(config: Loaded[Config]) -> list[str]:
    """Return a remark for each recording that a stream plays and that does not exist.

    A running node waits for such a file.
    """
    remarks = []
    for name, stream in config.document.streams.items():
        played: dict[tuple[str, str], object] = {
            ("replay", "file"): stream.replay.file if stream.replay else None,
            ("camera", "device"): stream.camera.device if stream.camera and stream.camera_has_sound else None,
        }
        for key, file in played.items():
            if isinstance(file, str) and not is_url(file) and not Path(file).is_file():
                remarks.append(f"{config.where('streams', name, *key)}: no such file: {file}")
    return remarks


def root_file_problems(config: Loaded[Config]) -> list[str]:
    """Return what is wrong with the root.json of the config; a running node keeps its bundle in that case."""
    models = config.document.models
    problem = None if models.source is None or models.root is None else root_problem(Path(models.root))
    return [] if problem is None else [f"{config.where('models', 'root')}: {problem}"]


def state_directory(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory for this node's state: the config's, else systemd's, else one in the user's home."""
    if config.state_directory is not None:
        return Path(config.state_directory)
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])  # systemd.exec(5): several paths are joined by colons
    # XDG Base Directory Specification: data that survives restarts, but is not worth copying to other machines
    base = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "perceptd" / config.node


def runtime_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return systemd's directory in memory that outlives a restart of the service; None where there is none."""
    given = environment.get("RUNTIME_DIRECTORY")
    return Path(given.split(":")[0]) if given else None


def state_directories(config: Loaded[Config]) -> list[Path]:
    """Return the directories where the state of the node may be, the most probable one first."""
    states = [state_directory(config.document)]
    if config.path == SERVICE_CONFIG:  # a person who checks it does not have the environment of the service
        states.append(SERVICE_STATE)
    return states


def teaching_database(state: Path) -> Path:
    """Return the file with what was taught, in a state directory."""
    return state / TEACHING / "teaching.db"


def fit_record(state: Path) -> Path:
    """Return the file about the latest fit of what was taught, in a state directory."""
    return state / TEACHING / "fit.json"


def history_directory(config: Config) -> Path:
    """Return the directory for the events that are kept."""
    return state_directory(config) / HISTORY


def local_socket(config: Config) -> Path:
    """Return the socket of a daemon that has not got one from systemd."""
    return state_directory(config) / LOCAL_SOCKET


def models_directory(config: Config) -> Path:
    """Return the directory for downloaded bundles."""
    return state_directory(config) / MODELS

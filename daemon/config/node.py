"""The schema of `config.yaml`: validated whole, then frozen. The shipped config.yaml documents every key."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from daemon.device_config import DevicesConfig
from daemon.documents import Document, Loaded, load_document
from daemon.errors import DocumentError
from daemon.gates_config import GatesConfig
from daemon.manifest import Number, Threshold
from daemon.models_config import ModelsConfig, root_problem
from daemon.mqtt_config import MqttConfig, TopicLevel, broker_at, with_absolute_paths
from daemon.redact import redact

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")


def _stream_name(name: str) -> str:
    if name == "command":
        raise ValueError("expected another name: perceptd/<node>/command/... is where commands go")
    return name


StreamName = Annotated[TopicLevel, AfterValidator(_stream_name)]
Seconds = Annotated[Number, Field(ge=0, le=86_400)]
PositiveSeconds = Annotated[Number, Field(ge=0.1, le=86_400)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Point = Annotated[list[Fraction], Field(min_length=2, max_length=2)]
Polygon = Annotated[list[Point], Field(min_length=3, max_length=64)]


def is_url(device: object) -> bool:
    """Whether a camera is a network stream rather than a device or a file."""
    return isinstance(device, str) and "://" in device


def _camera_device(device: int | str) -> int | str:
    if isinstance(device, int):
        if device < 0:
            raise ValueError("expected a camera's number from 0 up")
    elif is_url(device):
        _check_url(device)
    elif not device:
        raise ValueError("expected a number, a path or a URL")
    return device


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in URL_SCHEMES:
        raise ValueError(f"expected a URL of {', '.join(URL_SCHEMES)}")
    # a password with one of these characters would end the host early, and be taken for a part of it
    if "@" in url and "@" not in parts.netloc:
        raise ValueError("expected / ? # @ in user, password and path to be written as %2F %3F %23 %40")
    try:
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("expected a host, and a number as its port") from error
    if not host:
        raise ValueError("expected a host")


def _device_alone(value: object) -> object:
    """`camera: 0` says the same as `camera: {device: 0}`."""
    return {"device": value} if isinstance(value, (int, str)) and not isinstance(value, bool) else value


class Region(Document):
    """A part of the picture, as fractions of its width and height."""

    left: Fraction = 0.0
    top: Fraction = 0.0
    right: Fraction = 1.0
    bottom: Fraction = 1.0

    @model_validator(mode="after")
    def _has_an_area(self) -> "Region":
        if self.right - self.left < 0.01 or self.bottom - self.top < 0.01:
            raise ValueError("right must be beyond left and bottom beyond top, by 0.01 at least")
        return self


class DeviceConfig(Document):
    """What cameras and microphones have in common."""

    stall_after_s: Annotated[Number, Field(ge=0.5, le=3600)] = 2.5
    offset_ms: Annotated[Number, Field(ge=-5000, le=0)] = 0.0


class PictureConfig(Document):
    """What is done to every picture before anything else sees it: masks, then rotation, then the region."""

    rotate: Literal[0, 90, 180, 270] = 0
    region: Region = Region()
    masks: Annotated[list[Polygon], Field(max_length=32)] = []


class CameraConfig(PictureConfig, DeviceConfig):
    """A V4L2 device, a network stream, or a file that is played as if it were one."""

    device: Annotated[int | str, AfterValidator(_camera_device)]
    width: Annotated[int, Field(ge=16, le=7680)] | None = None
    height: Annotated[int, Field(ge=16, le=4320)] | None = None
    fps: Annotated[Number, Field(gt=0, le=240)] | None = None
    loop: bool = True

    @property
    def is_file(self) -> bool:
        """Whether a file is played as if it were a camera."""
        return isinstance(self.device, str) and not is_url(self.device) and not self.device.startswith("/dev/")


class MicrophoneConfig(DeviceConfig):
    """A sound device by name or number, or `camera` for the sound of the camera's own stream."""

    device: int | str = "default"
    channel: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = "auto"

    @property
    def channel_index(self) -> int | None:
        """The channel counted from 0; None: the first that carries sound."""
        return None if self.channel == "auto" else self.channel - 1


class ReplayConfig(PictureConfig):
    """A video file with sound and, beside it, timed text."""

    file: str
    text: str | None = None
    loop: bool = True
    pace: Literal["realtime", "fast"] = "realtime"

    @model_validator(mode="after")
    def _fast_ends(self) -> "ReplayConfig":
        if self.loop and self.pace == "fast":
            raise ValueError("pace: fast needs loop: false, or it would never end")
        return self


class TextConfig(Document):
    """The text inlet of a stream."""

    enabled: bool = True


class FusionConfig(Document):
    """How often moments are made."""

    max_rate_hz: Annotated[Number, Field(ge=0.001, le=1000)] = 60.0


class EventsConfig(Document):
    """How scores become events; every duration is a time constant, independent of how often moments come."""

    smoothing_s: Seconds = 0.3
    min_duration_s: Seconds = 0.2
    max_duration_s: PositiveSeconds = 300.0
    update_every_s: PositiveSeconds = 5.0
    thresholds: dict[str, Threshold] = {}


class StreamConfig(Document):
    """One place that is watched."""

    camera: Annotated[CameraConfig | None, BeforeValidator(_device_alone)] = None
    microphone: Annotated[MicrophoneConfig | None, BeforeValidator(_device_alone)] = None
    replay: ReplayConfig | None = None
    text: TextConfig = TextConfig()
    gates: GatesConfig = GatesConfig()
    fusion: FusionConfig = FusionConfig()
    events: EventsConfig = EventsConfig()

    @model_validator(mode="after")
    def _sources_fit(self) -> "StreamConfig":
        if self.replay and (self.camera or self.microphone):
            raise ValueError("replay takes the place of camera and microphone: give one or the other")
        if not (self.replay or self.camera or self.microphone or self.text.enabled):
            raise ValueError("a stream needs at least one of replay, camera, microphone, text")
        if self.microphone and self.microphone.device == "camera" and not self.camera_has_sound:
            raise ValueError("microphone.device: camera needs a camera that is a URL or a file")
        return self

    @property
    def camera_has_sound(self) -> bool:
        """Whether the camera is read through a container that may carry sound."""
        return self.camera is not None and (is_url(self.camera.device) or self.camera.is_file)


class HealthConfig(Document):
    """How often the retained health is renewed when nothing changes."""

    every_s: Annotated[Number, Field(ge=1, le=3600)] = 10.0


class Config(Document):
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
    streams = {name: _with_absolute_paths(stream, base) for name, stream in config.streams.items()}
    update: dict[str, object] = {"bundle": str(base / config.bundle), "streams": streams}
    update["models"] = config.models.with_absolute_paths(base)
    update["devices"] = config.devices.with_absolute_paths(base)
    update["mqtt"] = with_absolute_paths(config.mqtt, base)
    if config.state_directory is not None:
        update["state_directory"] = str(base / config.state_directory)
    absolute = config.model_copy(update=update)
    return replace(loaded, document=absolute)


def _with_absolute_paths(stream: StreamConfig, base: Path) -> StreamConfig:
    update: dict[str, object] = {}
    if stream.replay:
        replay = stream.replay
        paths = {"file": str(base / replay.file), "text": replay.text and str(base / replay.text)}
        update["replay"] = replay.model_copy(update=paths)
    if stream.camera and isinstance(stream.camera.device, str) and not is_url(stream.camera.device):
        update["camera"] = stream.camera.model_copy(update={"device": str(base / stream.camera.device)})
    return stream.model_copy(update=update)


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
        return broker_at(broker, MqttConfig()), node
    config = load_config(path).document
    return broker_at(broker, config.mqtt), node or config.node


def absent_files(config: Loaded[Config]) -> list[str]:
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


def unusable_root(config: Loaded[Config]) -> list[str]:
    """What is wrong with the root.json of the config, with its place; a running node would keep the bundle it has."""
    models = config.document.models
    problem = None if models.source is None or models.root is None else root_problem(Path(models.root))
    return [] if problem is None else [f"{config.where('models', 'root')}: {problem}"]


def _number_or_name(device: str) -> int | str:
    return int(device) if device.isdecimal() else device

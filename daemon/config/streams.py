"""The schema of `streams:` in config.yaml: sources, picture preparation, gates, fusion and events of each stream."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from daemon.bundle.encoder_specs import Number
from daemon.bundle.manifest import ShownName
from daemon.bundle.thresholds import Threshold
from daemon.config.mqtt import TopicLevel
from daemon.core.document import StrictModel, problem_at
from daemon.core.media import DecoderSetting
from daemon.core.records import Modality

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")

# before the name of another stream, at whose camera a stream looks
VIEW_PREFIX = "stream:"


# what begins so is no file, and no URL either
NO_FILES = ("/dev/", VIEW_PREFIX)


def is_url(device: object) -> bool:
    """Return whether a camera is a network stream, and not a device or a file."""
    return isinstance(device, str) and "://" in device


def _stream_name(name: str) -> str:
    if name == "command":
        raise ValueError("expected another name: perceptd/<node>/command/... is the topic of commands")
    return name


def _camera_device(device: int | str) -> int | str:
    if isinstance(device, int):
        if device < 0:
            raise ValueError("expected a camera's number from 0 up")
    elif is_url(device):
        return _checked_url(device)
    elif not device:
        raise ValueError("expected a number, a path or a URL")
    return device


def _checked_url(written: str) -> str:
    """Return the URL with a scheme in lower case, and without blanks around it."""
    scheme, separator, rest = written.strip().partition("://")
    url = f"{scheme.lower()}{separator}{rest}"
    parts = urlsplit(url)
    if parts.scheme not in URL_SCHEMES:
        raise ValueError(f"expected a URL of {', '.join(URL_SCHEMES)}")
    # in a password one of these characters ends the host early: part of the password becomes the path
    if "@" in url and "@" not in parts.netloc:
        raise ValueError("expected / ? # @ in user, password and path to be written as %2F %3F %23 %40")
    try:
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("expected a host, and a number as its port") from error
    if not host:
        raise ValueError("expected a host")
    return url


def _device_alone(value: object) -> object:
    """Return `camera: 0` as `camera: {device: 0}`; other values unchanged."""
    return {"device": value} if isinstance(value, (int, str)) and not isinstance(value, bool) else value


StreamName = Annotated[TopicLevel, AfterValidator(_stream_name)]
Seconds = Annotated[Number, Field(ge=0, le=86_400)]
PositiveSeconds = Annotated[Number, Field(ge=0.1, le=86_400)]
HoldSeconds = Annotated[Number, Field(ge=0, le=3600)]
KeepAliveSeconds = Annotated[Number, Field(gt=0, le=3600)]
PreRollSeconds = Annotated[Number, Field(ge=0, le=10)]
Decibels = Annotated[Number, Field(gt=0, le=90)]
PictureShare = Annotated[Number, Field(gt=0, le=1)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Point = Annotated[list[Fraction], Field(min_length=2, max_length=2)]
Polygon = Annotated[list[Point], Field(min_length=3, max_length=64)]


class Region(StrictModel):
    """A rectangle of the picture, in fractions of its width and height."""

    left: Fraction = 0.0
    top: Fraction = 0.0
    right: Fraction = 1.0
    bottom: Fraction = 1.0

    @model_validator(mode="after")
    def _check_area(self) -> "Region":
        if self.right - self.left < 0.01 or self.bottom - self.top < 0.01:
            raise ValueError("right must be beyond left and bottom beyond top, by 0.01 at least")
        return self


class DeviceConfig(StrictModel):
    """The settings that cameras and microphones share."""

    stall_after_s: Annotated[Number, Field(ge=0.5, le=3600)] = 2.5
    offset_ms: Annotated[Number, Field(ge=-5000, le=0)] = 0.0


class PictureConfig(StrictModel):
    """The preparation of every picture, applied in this order: masks, rotation, region."""

    rotate: Literal[0, 90, 180, 270] = 0
    region: Region = Region()
    masks: Annotated[list[Polygon], Field(max_length=32)] = []


class CameraConfig(PictureConfig, DeviceConfig):
    """A V4L2 device, a network stream, a file that is played like a camera, or a part of another stream's camera."""

    device: Annotated[int | str, AfterValidator(_camera_device)]
    transport: Literal["auto", "tcp", "udp"] = "auto"
    decoder: DecoderSetting = "software"
    width: Annotated[int, Field(ge=16, le=7680)] | None = None
    height: Annotated[int, Field(ge=16, le=4320)] | None = None
    fps: Annotated[Number, Field(gt=0, le=240)] | None = None
    loop: bool = True

    @model_validator(mode="after")
    def _check_view(self) -> "CameraConfig":
        for key in sorted(self.model_fields_set - {"device", "region"} if self.view_of is not None else ()):
            message = f"cannot be set for a part of the camera of {self.view_of}; expected `region` alone"
            raise problem_at(message, key)
        return self

    @property
    def view_of(self) -> str | None:
        """Return the stream at whose camera this one looks; None: it is a camera of its own."""
        is_view = isinstance(self.device, str) and self.device.startswith(VIEW_PREFIX)
        return str(self.device).removeprefix(VIEW_PREFIX) if is_view else None

    @property
    def transports(self) -> tuple[Literal["tcp", "udp"], ...]:
        """Return the transports of RTSP to try, in this order."""
        return ("tcp", "udp") if self.transport == "auto" else (self.transport,)

    @property
    def is_file(self) -> bool:
        """Return whether the camera is a file that is played."""
        return isinstance(self.device, str) and not is_url(self.device) and not self.device.startswith(NO_FILES)


class MicrophoneConfig(DeviceConfig):
    """A sound device by name or number, or `camera` for the sound of the camera's stream."""

    device: int | str = "default"
    channel: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = "auto"

    @property
    def channel_index(self) -> int | None:
        """Return the channel counted from 0; None: the first channel that carries sound."""
        return None if self.channel == "auto" else self.channel - 1


class ReplayConfig(PictureConfig):
    """A video file with sound, and optionally a file of timed text."""

    file: str
    text: str | None = None
    loop: bool = True
    pace: Literal["realtime", "fast"] = "realtime"

    @model_validator(mode="after")
    def _check_loop(self) -> "ReplayConfig":
        if self.loop and self.pace == "fast":
            raise ValueError("pace: fast needs loop: false, or it would never end")
        return self


class TextConfig(StrictModel):
    """Whether the stream takes text over MQTT."""

    enabled: bool = True


class MotionConfig(StrictModel):
    """The motion gate: the share of the picture whose change opens and closes it."""

    open: PictureShare = 0.005
    close: PictureShare = 0.0025
    hold_s: HoldSeconds = 1.0
    keep_alive_s: KeepAliveSeconds | None = None

    @model_validator(mode="after")
    def _check_hysteresis(self) -> "MotionConfig":
        if self.close > self.open:
            raise ValueError("close must not exceed open")
        return self


class SoundConfig(StrictModel):
    """The sound gate: the difference from the noise floor that opens and closes it."""

    open_db: Decibels = 9.0
    close_db: Decibels = 6.0
    hold_s: HoldSeconds = 1.0
    pre_roll_s: PreRollSeconds = 0.3
    keep_alive_s: KeepAliveSeconds | None = None

    @model_validator(mode="after")
    def _check_hysteresis(self) -> "SoundConfig":
        if self.close_db > self.open_db:
            raise ValueError("close_db must not exceed open_db")
        return self


class GatesConfig(StrictModel):
    """The gates of one stream; without a gate every picture or patch of sound is encoded."""

    motion: MotionConfig | None = None
    sound: SoundConfig | None = None


class FusionConfig(StrictModel):
    """The highest rate of moments."""

    max_rate_hz: Annotated[Number, Field(ge=0.001, le=1000)] = 60.0


class EventsConfig(StrictModel):
    """How scores become events; every duration is a time constant, independent of the rate of moments."""

    smoothing_s: Seconds = 0.3
    min_duration_s: Seconds = 0.2
    max_duration_s: PositiveSeconds = 300.0
    update_every_s: PositiveSeconds = 5.0
    thresholds: dict[str, Threshold] = {}


class StreamConfig(StrictModel):
    """One observed place. `name` and `area` are shown to people, and stand in no topic."""

    name: ShownName | None = None
    area: ShownName | None = None
    camera: Annotated[CameraConfig | None, BeforeValidator(_device_alone)] = None
    microphone: Annotated[MicrophoneConfig | None, BeforeValidator(_device_alone)] = None
    replay: ReplayConfig | None = None
    text: TextConfig = TextConfig()
    gates: GatesConfig = GatesConfig()
    fusion: FusionConfig = FusionConfig()
    events: EventsConfig = EventsConfig()

    @model_validator(mode="after")
    def _check_sources(self) -> "StreamConfig":
        if self.replay and (self.camera or self.microphone):
            raise ValueError("replay replaces camera and microphone: give one or the other")
        if not (self.replay or self.camera or self.microphone or self.text.enabled):
            raise ValueError("a stream needs at least one of replay, camera, microphone, text")
        if self.microphone and self.microphone.device == "camera" and not self.camera_has_sound:
            raise ValueError("microphone.device: camera needs a camera that is a URL or a file")
        return self

    @property
    def camera_has_sound(self) -> bool:
        """Return whether the camera is read through a container that may carry sound."""
        return self.camera is not None and (is_url(self.camera.device) or self.camera.is_file)

    @property
    def may_hear(self) -> bool:
        """Return whether the stream has a microphone, or a recording, which may have sound."""
        return self.microphone is not None or self.replay is not None

    @property
    def is_in_order(self) -> bool:
        """Return whether the stream is a replay as fast as possible, in order and without loss."""
        return self.replay is not None and self.replay.pace == "fast"

    @property
    def senses(self) -> frozenset[Modality]:
        """Return the modalities that the stream may deliver. A recording may have pictures and sound."""
        has: dict[Modality, bool] = {
            "image": self.camera is not None or self.replay is not None,
            "audio": self.may_hear,
            "text": self.text.enabled or (self.replay is not None and self.replay.text is not None),
        }
        return frozenset(modality for modality, is_there in has.items() if is_there)

    def with_absolute_paths(self, base: Path) -> "StreamConfig":
        """Return the stream with its files relative to `base`."""
        update: dict[str, object] = {}
        if self.replay:
            paths = {"file": str(base / self.replay.file), "text": self.replay.text and str(base / self.replay.text)}
            update["replay"] = self.replay.model_copy(update=paths)
        camera = self.camera
        if camera and isinstance(camera.device, str) and not is_url(camera.device) and camera.view_of is None:
            update["camera"] = camera.model_copy(update={"device": str(base / camera.device)})
        return self.model_copy(update=update)

"""The config as a command uses it: the file, with what the command line and the environment replace in it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from daemon.config.broker_options import override_broker
from daemon.config.bundle_places import find_bundle
from daemon.config.node import Config, load_config
from daemon.config.streams import CameraConfig, MicrophoneConfig, StreamConfig
from daemon.config.views import view_problems
from daemon.core.document import Loaded, validator_text
from daemon.core.errors import DocumentError
from daemon.core.secret_files import read_secret
from daemon.core.text import redact

CAMERA_VARIABLE = "PERCEPTD_CAMERA"


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    """The config file, and the options that replace parts of it; None leaves a part as it is.

    `camera_file` names a file with the camera, so that no password of a URL is in the list of processes. `bundle` is a
    directory or a name.
    """

    path: str
    camera: str | None = None
    camera_file: str | None = None
    microphone: str | None = None
    broker: str | None = None
    bundle: str | None = None

    def load(self, environment: Mapping[str, str] = os.environ, text: bytes | None = None) -> Loaded[Config]:
        """Read the config and the camera's file. Raises Refused. `text` is read instead of what the config has now."""
        loaded = load_config(Path(self.path), text)
        name, camera = self._camera(environment)
        config = override_devices(loaded.document, camera, self.microphone, name)
        config = override_bundle(config, self.bundle)
        config = config.model_copy(update={"mqtt": override_broker(self.broker, config.mqtt)})
        return replace(loaded, document=config)

    def remarks(self) -> list[str]:
        """Return a remark if the command line contains a password."""
        if self.camera is None or redact(self.camera) == self.camera:
            return []
        remedy = f"use --camera-file FILE, or the environment variable {CAMERA_VARIABLE}"
        return [f"--camera: every user of this machine can see the password in the list of processes; {remedy}"]

    def to_json(self) -> str:
        """Return the options for a child process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ConfigOptions":
        """Return the options that `to_json` has written."""
        return cls(**json.loads(text))

    def _camera(self, environment: Mapping[str, str]) -> tuple[str, str | None]:
        """Return the camera, after the name of what gives it. Options come before the environment."""
        if self.camera_file is not None:
            return "--camera-file", read_secret(Path(self.camera_file), "--camera-file")
        if self.camera is not None:
            return "--camera", self.camera
        return CAMERA_VARIABLE, environment.get(CAMERA_VARIABLE) or None


def override_bundle(config: Config, bundle: str | None) -> Config:
    """Return the config with another bundle, and without a source of bundles, which would replace this one.

    Raises DocumentError when there is no such bundle.
    """
    if bundle is None:
        return config
    models = config.models.model_copy(update={"source": None})
    return config.model_copy(update={"bundle": str(find_bundle(bundle)), "models": models})


def override_devices(config: Config, camera: str | None, microphone: str | None, name: str = "--camera") -> Config:
    """Return the config with the sources of its first stream replaced by these devices.

    `name` says what gives the camera. Raises DocumentError when a device is not valid.
    """
    if camera is None and microphone is None:
        return config
    check_microphone(microphone)
    stream_name, stream = next(iter(config.streams.items()))
    devices: dict[str, object] = {"replay": None, "camera": None, "microphone": None}
    try:
        if camera is not None:
            devices["camera"] = CameraConfig(device=_number_or_name(camera))
        if microphone is not None:
            devices["microphone"] = MicrophoneConfig(device=_number_or_name(microphone))
        replaced = StreamConfig.model_validate({**dict(stream), **devices})
    except ValidationError as error:
        given = {name: camera, "--microphone": microphone}
        names = ", ".join(option for option, device in given.items() if device is not None)
        problems = [f"{names}: {validator_text(problem)}" for problem in error.errors()]
        raise DocumentError([redact(problem) for problem in problems]) from error
    streams = {**config.streams, stream_name: replaced}
    if problems := [f"streams.{other}.camera: {problem}" for other, problem in view_problems(streams).items()]:
        raise DocumentError(problems)
    return config.model_copy(update={"streams": streams})


def check_microphone(microphone: str | None) -> None:
    """Raise DocumentError where a file is given as a microphone."""
    # the name of a device may be that of a file too, but has no suffix then
    if microphone is not None and Path(microphone).suffix and Path(microphone).is_file():
        remedy = f"play it by --camera {microphone} --microphone camera"
        raise DocumentError([f"--microphone {microphone}: is a file; {remedy}"])


def _number_or_name(device: str) -> int | str:
    return int(device) if device.isdecimal() else device

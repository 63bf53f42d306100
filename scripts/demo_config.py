"""What the demo runs, where options name it: the bundle, which is made if it is not there, and a config."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from daemon.bundle.bundle import load_bundle
from daemon.config.bundle_places import find_bundle, recipe_names
from daemon.config.command_line import check_microphone
from daemon.config.node import Config, load_config
from daemon.config.streams import is_url
from daemon.core.dumper import dump_document
from daemon.core.errors import DocumentError, Refused

ROOT = Path(__file__).resolve().parent.parent


def ready_bundle(given: str, from_dir: Path | None) -> Path:
    """Return the directory of a bundle, which is made first if it is not there. Raises Refused.

    `from_dir` has the models to make it of; without it they are downloaded.
    """
    try:
        return find_bundle(given)
    except DocumentError:
        if given not in recipe_names():
            raise
    print(f"making the bundle {given}, as `perceptd bundle get {given}` does", flush=True)
    source = [] if from_dir is None else ["--from", str(from_dir.absolute())]
    command = [sys.executable, "-m", "daemon", "bundle", "get", given, "--json", *source]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"the bundle {given} could not be made, for the reason above")
    return Path(json.loads(done.stdout)["directory"])


def write_config(path: Path, bundle: Path, camera: str | None, microphone: str | None) -> Path:
    """Write a config with a history and one stream of these devices, and return its path. Raises Refused.

    Without devices the stream listens to the default microphone. A file is played once, and the daemon ends with it.
    """
    check_microphone(microphone)
    stream: dict[str, object] = {}
    if camera:
        device = _device(camera)
        is_file = isinstance(device, str) and not is_url(device) and not device.startswith("/dev/")
        if is_file and not Path(str(device)).is_file():
            raise Refused(f"--camera {camera}: there is no such file")
        # a stream that takes texts would not end with the file
        stream = {"camera": {"device": device, "loop": not is_file}, "text": {"enabled": not is_file}}
    if microphone or not camera:
        stream["microphone"] = _number_or_name(microphone or "default")
    path.touch(0o600)  # the URL of a camera may contain a password
    settings = {"node": "demo", "bundle": str(bundle), "history": {}, "streams": {"demo": stream}}
    path.write_bytes(dump_document(settings))
    return path


def write_shipped(path: Path) -> Path:
    """Write the shipped config with a history for the page, and return its path. Raises Refused."""
    path.write_bytes(dump_document(_settings(ROOT / "config.yaml") | {"history": {}}))
    return path


def name_broker(path: Path, port: int) -> None:
    """Write the broker of the demo into a config of the demo, so that a doctor run on the page finds it."""
    settings = _settings(path)
    broker = {**settings.get("mqtt", {}), "host": "127.0.0.1", "port": port}
    path.write_bytes(dump_document(settings | {"mqtt": broker}))


def _settings(path: Path) -> dict[str, Any]:
    return load_config(path).document.model_dump(mode="json", by_alias=True, exclude_unset=True)


def takes_text(config: Config) -> bool:
    """Return whether the first stream takes texts that the bundle can recognise. Raises Refused."""
    encoders = load_bundle(Path(config.bundle)).manifest.encoder_specs.values()
    return next(iter(config.streams.values())).text.enabled and any(spec.modality == "text" for spec in encoders)


def _device(camera: str) -> int | str:
    device = _number_or_name(camera)
    return str(Path(device).absolute()) if isinstance(device, str) and not is_url(device) else device


def _number_or_name(device: str) -> int | str:
    return int(device) if device.isdecimal() else device

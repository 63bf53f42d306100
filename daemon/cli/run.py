"""The commands that run a node, or look at what one needs and says."""

import argparse
import dataclasses
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from daemon.bundle.bundle import load_bundle
from daemon.config.mqtt import override_broker
from daemon.config.node import (
    Config,
    load_config,
    missing_files,
    models_directory,
    override_devices,
    root_file_problems,
)
from daemon.core.document import Loaded
from daemon.core.errors import Refused, SourceError, UpdateError
from daemon.core.logs import start_logging
from daemon.node.bundle_updates import Bundles
from daemon.node.node import Node
from daemon.node.systemd import Notifier
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.recogniser import Recogniser, check_matches_config, load_recogniser
from daemon.sources.microphone import MicrophoneDevice, list_microphones
from daemon.sources.v4l2 import list_cameras
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import STATE, Startup
from daemon.updates.state_file import stored_state

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> int:
    """Run the node until SIGTERM or Ctrl-C."""
    loaded = load_config(options.config)
    config = override_devices(loaded.document, options.camera, options.microphone)
    config = config.model_copy(update={"mqtt": override_broker(options.broker, config.mqtt)})
    start_logging(config.log_level)
    faulthandler.register(signal.SIGUSR1)
    faulthandler.enable()  # the service manager's watchdog ends us by SIGABRT: every thread then says where it was
    notifier = Notifier.from_environment()
    notifier.send(STATUS="loading the bundle")
    bundles = None if config.models.source is None else _bundles(loaded)
    # not an Event: this thread waits for it, and may be interrupted by the signal while it holds the Event's lock
    stop: SimpleQueue[None] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(None))
    while Node(config, _first(loaded, bundles), bundles).run(stop, notifier):
        pass
    if threading.active_count() > 1:
        # a network camera that is being opened or read, or an encoder that hangs was left behind: it must not
        # come back while the interpreter is taken apart
        logging.shutdown()
        os._exit(0)
    return 0


def check_config(options: argparse.Namespace) -> int:
    """Validate a config and make ready what it says, without starting it."""
    loaded = load_config(options.config)
    recogniser = _first(loaded, None)
    Node(loaded.document, recogniser)
    for remark in [*missing_files(loaded), *root_file_problems(loaded), *recogniser.stays_on_cpu]:
        print(remark, file=sys.stderr)
    streams = ", ".join(loaded.document.streams)
    print(f"{options.config}: good; bundle {recogniser.bundle.manifest.id}, streams: {streams}")
    return 0


def devices(options: argparse.Namespace) -> int:
    """List cameras and microphones."""
    cameras, (microphones, trouble) = list_cameras(), _microphones()
    if options.json:
        found = {
            "cameras": [dataclasses.asdict(camera) for camera in cameras],
            "microphones": [dataclasses.asdict(microphone) for microphone in microphones],
        }
        print(json.dumps(found, indent=2))
    else:
        for title, listed in (("cameras", cameras), ("microphones", microphones)):
            print(f"{title}:" if listed else f"{title}: none found")
            for device in listed:
                print(f"  {device}")
    if trouble is not None:
        print(trouble, file=sys.stderr)
    return 0 if trouble is None else 1


def _microphones() -> tuple[list[MicrophoneDevice], str | None]:
    """The microphones there are, and what is wrong when they cannot be asked for."""
    try:
        return list_microphones(), None
    except SourceError as error:
        return [], str(error)


def _loaded(config: Config, directory: Path) -> Recogniser:
    """A bundle with its encoders where the config wants them."""
    return accelerate(load_recogniser(load_bundle(directory)), config.devices)


def _bundles(config: Loaded[Config]) -> Bundles:
    """What is known of bundles from afar when the daemon starts."""
    directory = models_directory(config.document)
    built_in = _built_in(Path(config.document.bundle), directory)
    fits = partial(check_matches_config, config=config)
    return Bundles(Startup(directory, built_in), partial(_loaded, config.document), fits, config.path)


def _built_in(directory: Path, models: Path) -> BuiltInBundle:
    """The config's own bundle, even where it is damaged: it is not needed while another one runs."""
    try:
        return BuiltInBundle(load_bundle(directory).manifest.id, directory)
    except Refused as error:
        try:
            base = stored_state(models / STATE).base
        except UpdateError:  # which a start will say
            base = None
        if base is None:
            raise
        log.error("the config's own bundle cannot be used: %s", error)
        return BuiltInBundle(base, directory)


def _first(config: Loaded[Config], bundles: Bundles | None) -> Recogniser:
    """The bundle to run now; where it does not fit the config, that is the config's fault, for it did once."""
    if bundles is None:
        recogniser = _loaded(config.document, Path(config.document.bundle))
    else:
        recogniser = bundles.start.load(lambda directory, _: bundles.load(directory))
    check_matches_config(recogniser.bundle.manifest, config)
    return recogniser

"""`perceptd run`, `check-config` and `devices`: a node, its config, and the devices that it can use."""

import argparse
import dataclasses
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from types import FrameType

from daemon.config.mqtt import override_broker
from daemon.config.node import load_config, missing_files, override_devices, root_file_problems
from daemon.core.errors import EXIT_DAMAGED, SourceError
from daemon.core.logs import start_logging
from daemon.node.stop_request import StopRequest
from daemon.node.systemd import Notifier
from daemon.node.wiring import build, find_startup
from daemon.sources.microphone import MicrophoneDevice, list_microphones
from daemon.sources.v4l2 import list_cameras


def run(options: argparse.Namespace) -> int:
    """Run the node until SIGTERM or Ctrl-C, or until its recordings end. Return EXIT_DAMAGED if one is damaged."""
    loaded = load_config(options.config)
    settings = override_devices(loaded.document, options.camera, options.microphone)
    settings = settings.model_copy(update={"mqtt": override_broker(options.broker, settings.mqtt)})
    start_logging(settings.log_level)
    faulthandler.register(signal.SIGUSR1)
    # the service manager's watchdog ends us by SIGABRT; every thread then reports where it was
    faulthandler.enable()
    notifier = Notifier.from_environment()
    notifier.send(STATUS="loading the bundle")
    config = dataclasses.replace(loaded, document=settings)
    startup = find_startup(settings)
    stop = _stop_at_signals()
    while (node := build(config, startup, stop)).run(notifier):
        pass
    code = EXIT_DAMAGED if node.has_failed else 0
    if threading.active_count() > 1:
        # a network camera that is being opened, or an encoder that hangs, must not run on while the interpreter ends
        logging.shutdown()
        os._exit(code)
    return code


def check_config(options: argparse.Namespace) -> int:
    """Validate a config, and build its node without starting it."""
    loaded = load_config(options.config)
    node = build(loaded, None, StopRequest())
    recogniser = node.active.recogniser
    for remark in [*missing_files(loaded), *root_file_problems(loaded), *recogniser.cpu_remarks]:
        print(remark, file=sys.stderr)
    streams = ", ".join(loaded.document.streams)
    print(f"{options.config}: good; bundle {recogniser.bundle.manifest.id}, streams: {streams}")
    return 0


def devices(options: argparse.Namespace) -> int:
    """List cameras and microphones; return 1 when the microphones cannot be listed."""
    cameras, (microphones, trouble) = list_cameras(), _microphones()
    if options.json:
        listed = {
            "cameras": [dataclasses.asdict(camera) for camera in cameras],
            "microphones": [dataclasses.asdict(microphone) for microphone in microphones],
        }
        print(json.dumps(listed, indent=2))
    else:
        for title, found in (("cameras", cameras), ("microphones", microphones)):
            print(f"{title}:" if found else f"{title}: none found")
            for device in found:
                print(f"  {device}")
    if trouble is not None:
        print(trouble, file=sys.stderr)
    return 0 if trouble is None else 1


def _stop_at_signals() -> StopRequest:
    stop = StopRequest()

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        stop.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    return stop


def _microphones() -> tuple[list[MicrophoneDevice], str | None]:
    """Return the microphones, and the reason if they cannot be listed."""
    try:
        return list_microphones(), None
    except SourceError as error:
        return [], str(error)

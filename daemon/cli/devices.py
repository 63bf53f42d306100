"""`perceptd devices`: the cameras and microphones that a node can use."""

import argparse
import dataclasses
import json
import sys

from daemon.core.errors import SourceError
from daemon.core.text import clean
from daemon.setup.cameras import network_cameras
from daemon.setup.found import FoundCamera, SearchFailed
from daemon.sources.microphone import MicrophoneDevice, list_microphones
from daemon.sources.v4l2 import list_cameras

# for the cameras of the network, which answer within three seconds, and then for what they say of their streams
NETWORK_S = 8.0

MAX_LINE_CHARS = 1000


def devices(options: argparse.Namespace) -> int:
    """List cameras and microphones; return 1 when the microphones, or the cameras of the network, cannot be listed."""
    cameras, (microphones, trouble) = list_cameras(), _microphones()
    troubles = [trouble] if trouble is not None else []
    of_network: list[FoundCamera] = []
    if options.network:
        try:
            of_network = network_cameras(NETWORK_S)
        except SearchFailed as error:
            troubles.append(str(error))
    if options.json:
        listed = {
            "cameras": [dataclasses.asdict(camera) for camera in cameras],
            "microphones": [dataclasses.asdict(microphone) for microphone in microphones],
        }
        if options.network:
            listed["network_cameras"] = [dataclasses.asdict(camera) for camera in of_network]
        print(json.dumps(listed, indent=2))
    else:
        show("cameras", list(map(str, cameras)))
        show("microphones", list(map(str, microphones)))
        if options.network:
            show("cameras of the network", [line_of(camera) for camera in of_network])
    for each in troubles:
        print(each, file=sys.stderr)
    return 1 if troubles else 0


def line_of(camera: FoundCamera) -> str:
    """Return the line of one stream of a network camera."""
    login, sound = "wants a login" if camera.needs_login else "", "with sound" if camera.has_sound else ""
    return f"{camera.device or camera.onvif}  ({', '.join(filter(None, (camera.name, camera.details, sound, login)))})"


def show(title: str, lines: list[str]) -> None:
    """Print a list, without control characters."""
    print(f"{title}:" if lines else f"{title}: none found")
    for line in lines:
        # devices and hosts of the network name themselves
        print(f"  {clean(line, MAX_LINE_CHARS)}")


def _microphones() -> tuple[list[MicrophoneDevice], str | None]:
    """Return the microphones, and the reason if they cannot be listed."""
    try:
        return list_microphones(), None
    except SourceError as error:
        return [], str(error)

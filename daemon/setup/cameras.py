"""Finds cameras: those of this machine, and those of its network."""

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.setup.discovery import Announced, Network, discover
from daemon.setup.found import FoundCamera, SearchFailed
from daemon.setup.in_parallel import in_parallel
from daemon.setup.onvif import rtsp_addresses
from daemon.sources.v4l2 import list_cameras

LOCAL_NETWORK = Network()

# a camera that does not answer in time is listed all the same
SLACK_S = 1.0


def local_cameras() -> list[FoundCamera]:
    """Return the V4L2 cameras of this machine, by the name that stays when they are plugged in elsewhere."""
    return [FoundCamera(camera.device, camera.name, f"number {camera.number}") for camera in list_cameras()]


def network_cameras(timeout_s: float, network: Network = LOCAL_NETWORK) -> list[FoundCamera]:
    """Return the streams of the ONVIF cameras on the local network, within about `timeout_s`.

    Sends a multicast to every host of the network, so ask the user first. Then asks each camera without a login for its
    streams. One that wants a login is returned with an empty `device`.
    Raises SearchFailed when the network cannot be asked.
    """
    deadline_ns = monotonic_ns() + round(timeout_s * NS_PER_S)
    try:
        announced = discover(replace(network, listen_s=min(network.listen_s, timeout_s / 2)))
    except OSError as error:
        raise SearchFailed(f"the network cannot be asked for cameras: {error.strerror or error}") from error
    asked = in_parallel(
        _streams, [_Question(camera, deadline_ns) for camera in announced], seconds_until(deadline_ns) + SLACK_S
    )
    return [stream for streams in asked for stream in streams]


@dataclass(frozen=True, slots=True)
class _Question:
    camera: Announced
    deadline_ns: int


def _streams(question: _Question) -> list[FoundCamera]:
    """Return the streams of a camera; one without a `device` where it does not tell their addresses."""
    camera = question.camera
    host = urlsplit(camera.service).netloc
    name = camera.name or host
    try:
        streams = rtsp_addresses(camera.service, None, seconds_until(question.deadline_ns))
    except SearchFailed as error:
        details = host if error.needs_login else f"{host}: {error}"
        return [FoundCamera("", name, details, error.needs_login, None, camera.service)]
    return [replace(stream, name=f"{name}: {stream.name}") for stream in streams]

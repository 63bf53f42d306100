"""What is expected of a stream's sources."""

from daemon.clock import NS_PER_S
from daemon.config import CameraConfig, StreamConfig, is_url
from daemon.records import Modality
from daemon.runtime.liveness import Watch

OPENING_S = {"device": 2.0, "network": 7.0}
"""On top of the time after which a source has stalled: a device's process starts within two seconds, and a network
camera's first whole picture may be a few seconds away."""

FRAMES_AWAY = 3
"""Where `fps` is low, so many frames must stay away before the camera has stalled."""


def watch_of(name: str, stream: StreamConfig, wanted: frozenset[Modality]) -> Watch | None:
    """What the source of this name must deliver of what is wanted; None where it may do as it likes, as a file may."""
    camera, microphone = stream.camera, stream.microphone
    if name == "microphone" and microphone:
        return _watch({"audio"}, wanted, microphone.stall_after_s, "device")
    if name != "camera" or camera is None or camera.is_file:
        return None
    expects: set[Modality] = {"image"}
    if microphone and microphone.device == "camera":
        expects.add("audio")
    return _watch(expects, wanted, patience_s(camera), "network" if is_url(camera.device) else "device")


def patience_s(camera: CameraConfig) -> float:
    """How long nothing may come of it."""
    return max(camera.stall_after_s, FRAMES_AWAY / camera.fps if camera.fps else 0.0)


def _watch(expects: set[Modality], wanted: frozenset[Modality], stall_after_s: float, kind: str) -> Watch:
    opening_s = stall_after_s + OPENING_S[kind]
    return Watch(wanted & expects, round(stall_after_s * NS_PER_S), round(opening_s * NS_PER_S))

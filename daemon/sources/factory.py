"""From a stream's configuration to its sources.

What reads containers is imported where it is needed: PyAV takes 18 MB, which a node with devices of its own can save.
"""

from collections.abc import Mapping
from pathlib import Path

from daemon.config.streams import CameraConfig, PictureConfig, StreamConfig, is_url
from daemon.core.ports import Source
from daemon.core.records import Counters, Modality
from daemon.core.timing import NS_PER_S
from daemon.runtime.liveness import Expectation
from daemon.sources.microphone import Microphone
from daemon.sources.picture import PicturePreparation
from daemon.sources.text import load_lines
from daemon.sources.v4l2 import V4l2Camera

OPENING_S = {"device": 2.0, "network": 7.0}
"""On top of the time after which a source has stalled: a device's process starts within two seconds, and a network
camera's first whole picture may be a few seconds away."""

FRAMES_AWAY = 3
"""Where `fps` is low, so many frames must stay away before the camera has stalled."""


def expectation_of(name: str, stream: StreamConfig, wanted: frozenset[Modality]) -> Expectation | None:
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


def _watch(expects: set[Modality], wanted: frozenset[Modality], stall_after_s: float, kind: str) -> Expectation:
    opening_s = stall_after_s + OPENING_S[kind]
    return Expectation(wanted & expects, round(stall_after_s * NS_PER_S), round(opening_s * NS_PER_S))


def build_sources(
    stream: StreamConfig, *, sample_rate_hz: int | None, picture: bool, counters: Mapping[Modality, Counters]
) -> dict[str, Source]:
    """The configured sources by name: camera, microphone, replay.

    `sample_rate_hz` is the rate at which sound is wanted (None: it is not), `picture` says whether pictures are wanted;
    a source of nothing that is wanted is left out. Raises DocumentError when a replay's lines are wrong.
    """
    sources: dict[str, Source] = {}
    if stream.replay:
        from daemon.sources.replay import Recording, ReplaySource

        replay = stream.replay
        recording = Recording(
            Path(replay.file),
            lines=load_lines(Path(replay.text)) if replay.text else (),
            sample_rate_hz=sample_rate_hz,
            picture=_preparation(replay, picture),
        )
        sources["replay"] = ReplaySource(recording, replay.loop, replay.pace == "realtime", counters)
    microphone = stream.microphone
    is_camera_sound = microphone is not None and microphone.device == "camera"
    if stream.camera and (picture or (is_camera_sound and sample_rate_hz)):
        camera_rate_hz = sample_rate_hz if is_camera_sound else None
        channel = (microphone.channel_index or 0) if microphone else 0
        preparation = _preparation(stream.camera, picture)
        sources["camera"] = _camera(stream.camera, preparation, camera_rate_hz, channel, counters)
    if microphone and not is_camera_sound and sample_rate_hz:
        sources["microphone"] = Microphone(microphone.device, microphone.channel_index, sample_rate_hz, counters)
    return sources


def _preparation(config: PictureConfig, wanted: bool) -> PicturePreparation | None:
    return PicturePreparation(config) if wanted else None


def _camera(
    camera: CameraConfig,
    picture: PicturePreparation | None,
    sample_rate_hz: int | None,
    channel: int,
    counters: Mapping[Modality, Counters],
) -> Source:
    device = camera.device
    if is_url(device):
        from daemon.sources.network import LEAST_READ_S, NetworkCamera

        return NetworkCamera(
            str(device), counters, picture, sample_rate_hz, channel, camera.fps, max(LEAST_READ_S, patience_s(camera))
        )
    if camera.is_file:
        from daemon.sources.replay import Recording, ReplaySource

        recording = Recording(
            Path(str(device)), sample_rate_hz=sample_rate_hz, channel=channel, picture=picture, fps=camera.fps
        )
        return ReplaySource(recording, camera.loop, is_realtime=True, counters=counters)
    preparation = picture or PicturePreparation(camera)
    return V4l2Camera(device, counters, preparation, camera.width, camera.height, camera.fps)

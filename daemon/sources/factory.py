"""Builds the sources of a stream from its configuration."""

import math
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from daemon.config.streams import CameraConfig, PictureConfig, Region, StreamConfig, is_url
from daemon.core.media import PacketSink
from daemon.core.ports import Source
from daemon.core.records import Counters, Modality
from daemon.core.timing import NS_PER_S
from daemon.runtime.liveness import Expectation
from daemon.runtime.usage import UsageJudge
from daemon.sources.microphone import Microphone
from daemon.sources.picture import PicturePreparation
from daemon.sources.text import load_lines
from daemon.sources.v4l2 import V4l2Camera
from daemon.sources.view import Views, ViewSource

# The time for opening, in addition to `stall_after_s`. The process of a device starts within two seconds.
# A network camera may send its first complete picture after 20 s. It reports by itself that it cannot be opened.
OPENING_S = {"device": 2.0, "network": 30.0}

# The use of a replay is judged over this time, as that of a camera with the default `stall_after_s`.
REPLAY_WINDOW_NS = 2_500_000_000

# With a low `fps`, a camera has stalled when it misses this many frames.
MISSED_FRAMES = 3


def expectation_of(name: str, stream: StreamConfig, needed: frozenset[Modality]) -> Expectation | None:
    """Return what the source must deliver of the needed modalities, and when.

    None: a file, which may pause, or a view, which looks itself whether its camera delivers.
    """
    camera, microphone = stream.camera, stream.microphone
    if name == "microphone" and microphone:
        return _watch({"audio"}, needed, microphone.stall_after_s, "device")
    if name != "camera" or camera is None or camera.is_file or camera.view_of is not None:
        return None
    expects: set[Modality] = {"image"}
    if microphone and microphone.device == "camera":
        expects.add("audio")
    return _watch(expects, needed, stall_after_s(camera), "network" if is_url(camera.device) else "device")


def plays_once(name: str, stream: StreamConfig) -> bool:
    """Return whether the source is a file that is played once. To begin it again would repeat what was recognised."""
    camera, replay = stream.camera, stream.replay
    if name == "replay":
        return replay is not None and not replay.loop
    return name == "camera" and camera is not None and camera.is_file and not camera.loop


def usage_judges(name: str, stream: StreamConfig, needed: frozenset[Modality]) -> dict[Modality, UsageJudge]:
    """Return who judges the use of each needed modality that the source delivers."""
    camera, microphone = stream.camera, stream.microphone
    judges: dict[Modality, UsageJudge] = {}
    if name == "microphone" and microphone:
        judges["audio"] = UsageJudge("audio", round(microphone.stall_after_s * NS_PER_S))
    elif name == "camera" and camera:
        window_ns = round(stall_after_s(camera) * NS_PER_S)
        judges["image"] = UsageJudge("image", window_ns, has_fps=camera.view_of is None)
        if microphone and microphone.device == "camera":
            judges["audio"] = UsageJudge("audio", window_ns)
    else:
        for modality in ("image", "audio"):
            judges[modality] = UsageJudge(modality, REPLAY_WINDOW_NS)
    return {modality: judge for modality, judge in judges.items() if modality in needed}


def build_sources(
    stream: StreamConfig,
    *,
    sample_rate_hz: int | None,
    picture: bool,
    counters: Mapping[Modality, Counters],
    at_once: bool = False,
    views: Views | None = None,
    looks_at: Views | None = None,
    packets: PacketSink | None = None,
) -> dict[str, Source]:
    """Return the configured sources by name: camera, microphone, replay.

    `sample_rate_hz` is the sample rate of the sound (None: no sound). `picture` says whether pictures are needed.
    With `at_once`, files are read as fast as possible. With `views` other streams look at the camera: its pictures then
    have no region yet. `looks_at` has the pictures of the stream at whose camera this one looks.
    `packets` gets the coded packets of the camera, if the stream may keep them.
    A source that would deliver nothing is left out.
    Raises DocumentError when the file with the lines of a replay is wrong.
    """
    sources: dict[str, Source] = {}
    if stream.replay:
        # PyAV takes 18 MB, so it is imported only for files and network cameras
        from daemon.sources.files.replay import Recording, ReplaySource

        replay = stream.replay
        recording = Recording(
            Path(replay.file),
            lines=load_lines(Path(replay.text)) if replay.text else (),
            sample_rate_hz=sample_rate_hz,
            picture=_preparation(replay, picture),
        )
        is_realtime = replay.pace == "realtime" and not at_once
        sources["replay"] = ReplaySource(recording, replay.loop, is_realtime, counters)
    microphone = stream.microphone
    is_camera_sound = microphone is not None and microphone.device == "camera"
    if stream.camera and stream.camera.view_of is not None:
        if picture and looks_at is not None:
            sources["camera"] = ViewSource(looks_at, PicturePreparation(PictureConfig(region=stream.camera.region)))
    elif stream.camera and (picture or (is_camera_sound and sample_rate_hz)):
        camera_rate_hz = sample_rate_hz if is_camera_sound else None
        channel = (microphone.channel_index or 0) if microphone else 0
        upright = stream.camera.model_copy(update={"region": Region()}) if views is not None else stream.camera
        preparation = _preparation(upright, picture)
        sink = packets if keeps_packets(stream) else None
        sources["camera"] = _camera(stream.camera, preparation, camera_rate_hz, channel, counters, at_once, sink)
    if microphone and not is_camera_sound and sample_rate_hz:
        sources["microphone"] = Microphone(microphone.device, microphone.channel_index, sample_rate_hz, counters)
    return sources


def keeps_packets(stream: StreamConfig) -> bool:
    """Return whether the packets of the stream's camera may be kept: it sends some, and they show nothing hidden.

    The pictures of other streams are changed: by masks, rotation or a region, as those of a view are.
    """
    camera = stream.camera
    return camera is not None and is_url(camera.device) and PicturePreparation(camera).changes_nothing


def views_of(streams: Mapping[str, StreamConfig]) -> dict[str, Views]:
    """Return by stream the pictures of its camera, where other streams look at it."""
    viewed = {stream.camera.view_of for stream in streams.values() if stream.camera is not None}
    return {
        name: Views(name, *_limits_s(stream.camera))
        for name, stream in streams.items()
        if name in viewed and stream.camera is not None
    }


def stall_after_s(camera: CameraConfig) -> float:
    """Return how long the camera may deliver nothing before it has stalled."""
    return max(camera.stall_after_s, MISSED_FRAMES / camera.fps if camera.fps else 0.0)


def _watch(expects: set[Modality], needed: frozenset[Modality], stall_s: float, kind: str) -> Expectation:
    opening_s = stall_s + OPENING_S[kind]
    return Expectation(needed & expects, round(stall_s * NS_PER_S), round(opening_s * NS_PER_S))


def _limits_s(camera: CameraConfig) -> tuple[float, float]:
    """Return how long a camera may deliver nothing, before its first picture last. A file may pause."""
    if camera.is_file:
        return math.inf, math.inf
    stall_s = stall_after_s(camera)
    return stall_s, stall_s + OPENING_S["network" if is_url(camera.device) else "device"]


def _preparation(config: PictureConfig, is_needed: bool) -> PicturePreparation | None:
    return PicturePreparation(config) if is_needed else None


def _camera(
    camera: CameraConfig,
    picture: PicturePreparation | None,
    sample_rate_hz: int | None,
    channel: int,
    counters: Mapping[Modality, Counters],
    at_once: bool,
    packets: PacketSink | None,
) -> Source:
    device = camera.device
    if is_url(device):
        return _network_camera(str(device), camera, picture, sample_rate_hz, channel, counters, packets)
    if camera.is_file:
        from daemon.sources.files.replay import Recording, ReplaySource

        recording = Recording(
            Path(str(device)), sample_rate_hz=sample_rate_hz, channel=channel, picture=picture, fps=camera.fps
        )
        # as fast as possible, a file gives the same results each time, which a decoder that may fail does not promise
        return ReplaySource(recording, camera.loop, not at_once, counters, "software" if at_once else camera.decoder)
    preparation = picture or PicturePreparation(camera)
    return V4l2Camera(device, counters, preparation, camera.width, camera.height, camera.fps)


def _network_camera(
    url: str,
    camera: CameraConfig,
    picture: PicturePreparation | None,
    sample_rate_hz: int | None,
    channel: int,
    counters: Mapping[Modality, Counters],
    packets: PacketSink | None,
) -> Source:
    from daemon.sources.network.camera import MIN_READ_TIMEOUT_S, NetworkCamera

    read_timeout_s = max(MIN_READ_TIMEOUT_S, stall_after_s(camera))
    stream = NetworkCamera(
        url,
        counters,
        picture,
        sample_rate_hz,
        channel,
        camera.fps,
        read_timeout_s,
        camera.transports,
        packets=packets,
        decoding=camera.decoder,
    )
    if urlsplit(url).scheme not in ("http", "https"):
        return stream
    from daemon.sources.hls.camera import HlsCamera
    from daemon.sources.http.camera import HttpCamera
    from daemon.sources.http.session import has_proxy

    if has_proxy(url):
        return stream  # FFmpeg uses the proxy
    playlist = HlsCamera(
        url, counters, picture, sample_rate_hz, channel, camera.fps, read_timeout_s, packets, camera.decoder
    )
    return HttpCamera(
        url,
        counters,
        picture,
        wants_sound=sample_rate_hz is not None,
        fps=camera.fps,
        read_timeout_s=read_timeout_s,
        playlist=playlist,
        other=stream,
        packets=packets,
    )

"""A network camera with a URL: RTSP with its sound, or MJPEG and other streams over HTTP."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from daemon.core.errors import SourceError
from daemon.core.ports import Deliver
from daemon.core.records import Counters, Modality, moved
from daemon.core.timing import NS_PER_S, FrameRate, monotonic_ns
from daemon.sources.backlog import Backlog
from daemon.sources.container import NO_ANSWER, failure, open_container, pts_ns, to_frame, to_samples, use_one_thread
from daemon.sources.picture import PicturePreparation
from daemon.sources.stamping import ArrivalClock, BlockCutter

# The time for each step of opening, and for each read. Without a limit a frozen camera would block its thread for ever.
# A stall must be reported within 3 s. Only a camera that may be silent for longer has a longer limit.
MIN_READ_TIMEOUT_S = 2.5

# Opens in 0.15 s instead of 2 s, because FFmpeg does not guess the frame rate from many frames.
QUICK_START = {"fpsprobesize": "0", "analyzeduration": "200000"}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp", **QUICK_START},
    "rtsps": {"rtsp_transport": "tcp", **QUICK_START},
    "http": {"fflags": "nobuffer", "probesize": "32768", **QUICK_START},
    "https": {"fflags": "nobuffer", "probesize": "32768", **QUICK_START},
}

# FFmpeg's names of formats without presentation times. FFmpeg makes up times from a guessed frame rate.
WITHOUT_TIME = frozenset({"mpjpeg", "mjpeg", "jpeg_pipe"})

log = logging.getLogger(__name__)


@dataclass
class NetworkCamera:
    """Delivers the pictures and the sound of a stream, stamped on one clock.

    The stamp is the presentation time, converted to this machine's clock by the arrival times.
    MJPEG has no presentation times and is stamped on arrival.
    `picture` None: no pictures. `sample_rate_hz` None: no sound.
    """

    url: str = field(repr=False)
    counters: Mapping[Modality, Counters]
    picture: PicturePreparation | None
    sample_rate_hz: int | None = None
    channel: int = 0
    fps: float | None = None
    read_timeout_s: float = MIN_READ_TIMEOUT_S
    drift_ppm: float | None = field(default=None, init=False)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the stream does not open, stalls or ends."""
        label = label_of(self.url)
        options = OPTIONS[urlsplit(self.url).scheme]
        timeout_s = (self.read_timeout_s, self.read_timeout_s)
        container = open_container(self.url, label, options=options, timeout_s=timeout_s)
        try:
            use_one_thread(container)
            _Reception(self, container, deliver).receive(label, stop)
        except (av.FFmpegError, OSError) as error:
            raise failure(label, "stopped sending", error) from None
        finally:
            container.close()


def label_of(url: str) -> str:
    """Return scheme, host and port of the URL for messages, because path and query may contain a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class _Reception:
    """The reception of one opened stream."""

    def __init__(self, camera: NetworkCamera, container: InputContainer, deliver: Deliver) -> None:
        self._camera = camera
        self._container = container
        self._deliver = deliver
        self._clock = ArrivalClock()
        self._has_time = WITHOUT_TIME.isdisjoint(container.format.name.split(","))
        self._rate = FrameRate(camera.fps)
        self._cutter = BlockCutter(camera.sample_rate_hz) if camera.sample_rate_hz else None
        self._last_frame_ns = 0
        self._backlog = Backlog()

    def receive(self, label: str, stop: Event) -> None:
        """Deliver pictures and sound until stopped. Raises SourceError when the stream stalls or ends."""
        indexes = self._selected_streams(label)
        began_ns = monotonic_ns()
        for packet in self._container.demux():
            if stop.is_set():
                return
            arrived_ns = monotonic_ns()
            if arrived_ns - began_ns > self._camera.read_timeout_s * NS_PER_S:
                # FFmpeg first returns its last packet, and would report the timeout only after waiting again
                raise SourceError(f"{label}: stopped sending: {NO_ANSWER}")
            if packet.stream.index in indexes and not self._is_skipped(packet, arrived_ns):
                self._take(packet, arrived_ns)
            began_ns = monotonic_ns()
        raise SourceError(f"{label}: the stream has ended")

    def _selected_streams(self, label: str) -> set[int]:
        streams = self._container.streams
        indexes = set()
        if self._camera.picture and streams.video:
            indexes.add(streams.video[0].index)
        if self._cutter and streams.audio:
            indexes.add(streams.audio[0].index)
        elif self._cutter:
            log.warning("%s: the stream has no sound", label)
        if not indexes:
            raise SourceError(f"{label}: contains neither a picture nor sound that is used")
        return indexes

    def _is_skipped(self, packet: "av.Packet[av.stream.Stream]", arrived_ns: int) -> bool:
        is_skipped = packet.stream.type == "video" and self._backlog.skips(packet.is_keyframe, arrived_ns)
        if is_skipped:
            self._drop("image", "behind")
        return is_skipped

    def _take(self, packet: "av.Packet[av.stream.Stream]", arrived_ns: int) -> None:
        for decoded in self._decode(packet):
            if isinstance(decoded, av.VideoFrame):
                self._take_picture(decoded, arrived_ns)
            elif isinstance(decoded, av.AudioFrame):
                self._take_sound(decoded, arrived_ns)
        self._camera.drift_ppm = self._clock.drift_ppm

    def _decode(self, packet: "av.Packet[av.stream.Stream]") -> list[object]:
        try:
            return list(packet.decode())
        except av.FFmpegError:
            self._drop("image" if packet.stream.type == "video" else "audio", "corrupt")
            return []

    def _take_picture(self, picture: av.VideoFrame, arrived_ns: int) -> None:
        if picture.is_corrupt:
            self._drop("image", "corrupt")
            return
        captured_ns = arrived_ns
        if self._has_time:
            at_ns = pts_ns(picture)
            if at_ns is None:
                self._drop("image", "no_time")
                return
            captured_ns = at_ns + self._clock.observe("image", at_ns, arrived_ns)
            # the offset may fall, but a picture is never older than the one before it
            captured_ns = self._last_frame_ns = max(captured_ns, self._last_frame_ns)
            self._backlog.observe(arrived_ns - captured_ns, arrived_ns)
        preparation = self._camera.picture
        if preparation and self._rate.takes(captured_ns):
            self._deliver(preparation.prepare(to_frame(picture, captured_ns)))

    def _take_sound(self, sound: av.AudioFrame, arrived_ns: int) -> None:
        at_ns = pts_ns(sound)
        if at_ns is None or self._cutter is None:
            self._drop("audio", "no_time")
            return
        end_ns = at_ns + sound.samples * NS_PER_S // sound.sample_rate
        offset_ns = self._clock.observe("audio", end_ns, arrived_ns)
        for block in self._cutter.push(to_samples(sound, self._camera.channel), sound.sample_rate, at_ns):
            self._deliver(moved(block, offset_ns))

    def _drop(self, modality: Modality, reason: str) -> None:
        self._camera.counters[modality].drop(reason)

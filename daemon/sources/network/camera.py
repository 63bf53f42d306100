"""A network camera whose stream FFmpeg reads: RTSP with its sound, and streams over HTTP."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event

import av
from av.container import InputContainer

from daemon.core.errors import NothingUsed, SourceError
from daemon.core.media import DecoderSetting, DecoderStatus, PacketSink
from daemon.core.ports import Deliver
from daemon.core.records import Block, Counters, Modality, moved
from daemon.core.timing import NS_PER_S, FrameRate, monotonic_ns
from daemon.sources.container import (
    NO_ANSWER,
    Packet,
    failure,
    has_decoder,
    pts_ns,
    to_frame,
    to_samples,
    use_one_thread,
)
from daemon.sources.decoding.decoder import CameraDecoder
from daemon.sources.network.arrival import UNTIE_NS, StreamClock
from daemon.sources.network.backlog import Backlog
from daemon.sources.network.opening import FIRST_PICTURE_S, StreamOpener, Transport, label_of
from daemon.sources.network.packets import StreamPackets
from daemon.sources.picture import PicturePreparation
from daemon.sources.stamping import BlockCutter

# The time for the camera's answer, and for each read. Without a limit a frozen camera would block its thread for ever.
# A stall must be reported within 3 s. Only a camera that may be silent for longer has a longer limit.
MIN_READ_TIMEOUT_S = 2.5

# FFmpeg's names of formats without presentation times. FFmpeg makes up times from a guessed frame rate.
WITHOUT_TIME = frozenset({"mpjpeg", "mjpeg", "jpeg_pipe"})

log = logging.getLogger(__name__)


@dataclass
class NetworkCamera:
    """Delivers the pictures and the sound of a stream, stamped on one clock.

    The stamp is the presentation time, converted to this machine's clock by the arrival times.
    MJPEG has no presentation times and is stamped on arrival.
    `picture` None: no pictures. `sample_rate_hz` None: no sound.
    `transports` are those of RTSP, in the order in which they are tried at the first opening.
    `read_timeout_s` is the limit for an answer and for each read, `first_picture_s` the longest wait for the first one.
    `packets` gets the coded packets of what is delivered, and also of what is not decoded.
    `decoding` says what may decode the pictures.
    """

    url: str = field(repr=False)
    counters: Mapping[Modality, Counters]
    picture: PicturePreparation | None
    sample_rate_hz: int | None = None
    channel: int = 0
    fps: float | None = None
    read_timeout_s: float = MIN_READ_TIMEOUT_S
    transports: tuple[Transport, ...] = ("tcp", "udp")
    first_picture_s: float = FIRST_PICTURE_S
    packets: PacketSink | None = None
    decoding: DecoderSetting = "software"
    drift_ppm: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._opener = StreamOpener(self.url, self.transports, self.read_timeout_s, self.first_picture_s)
        self.pictures = CameraDecoder(self.decoding, self.counters.get("image"))

    @property
    def decoder(self) -> DecoderStatus | None:
        """What decodes the pictures. None: not known yet."""
        return self.pictures.status

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the stream does not open, stalls or ends."""
        container = self._opener.open()
        reception = _Reception(self, container, deliver)
        try:
            use_one_thread(container)
            reception.receive(stop)
        except (av.FFmpegError, OSError, IndexError) as error:
            # PyAV raises IndexError where a further stream begins
            if isinstance(error, av.ExitError) and not reception.has_delivered:
                raise self._opener.nothing_came(self.first_picture_s) from None
            raise failure(label_of(self.url), "stopped sending", error) from None
        finally:
            self.pictures.close()
            container.close()


class _Reception:
    """The reception of one opened stream."""

    def __init__(self, camera: NetworkCamera, container: InputContainer, deliver: Deliver) -> None:
        self._camera = camera
        self._container = container
        self._deliver = deliver
        self._clock = StreamClock()
        self._has_time = WITHOUT_TIME.isdisjoint(container.format.name.split(","))
        self._rate = FrameRate(camera.fps)
        self._cutter = BlockCutter(camera.sample_rate_hz) if camera.sample_rate_hz else None
        self._last_frame_ns = 0
        self._sound_offset_ns = 0
        self.has_delivered = False
        self._backlog = Backlog()
        self._kept = StreamPackets(camera.packets, has_time=self._has_time) if camera.packets else None
        # what comes before the first key picture refers to one that was never received
        self._has_key = False

    def receive(self, stop: Event) -> None:
        """Deliver pictures and sound until stopped. Raises SourceError when the stream stalls or ends."""
        label = label_of(self._camera.url)
        indexes = self._selected_streams(label)
        began_ns = monotonic_ns()
        for packet in self._packets():
            arrived_ns = monotonic_ns()
            if self.has_delivered and arrived_ns - began_ns > self._camera.read_timeout_s * NS_PER_S:
                # FFmpeg first returns its last packet, and would report the timeout only after waiting again
                raise SourceError(f"{label}: stopped sending: {NO_ANSWER}")
            if packet.stream.index in indexes:
                self._take(packet, arrived_ns)
            if stop.is_set():
                return
            began_ns = monotonic_ns()
        raise SourceError(f"{label}: the stream has ended")

    def _packets(self) -> Iterator[Packet]:
        """Yield the packets. The first `demux` waits longer, for the first picture or sound."""
        for packet in self._container.demux():
            yield packet
            if self.has_delivered:
                yield from self._container.demux()
                return

    def _selected_streams(self, label: str) -> set[int]:
        streams = self._container.streams
        indexes = set()
        video = next(filter(has_decoder, streams.video), None)
        audio = next(filter(has_decoder, streams.audio), None)
        if self._camera.picture and video:
            indexes.add(video.index)
            self._camera.pictures.begin(video.codec_context)
        if self._cutter and audio:
            indexes.add(audio.index)
        elif self._cutter:
            log.warning("%s: the stream has no sound", label)
        if not indexes:
            wanted = {"image": self._camera.picture, "audio": self._cutter}
            raise NothingUsed(label, [modality for modality, used in wanted.items() if used])
        return indexes

    def _is_skipped(self, packet: Packet, arrived_ns: int) -> bool:
        self._has_key |= packet.stream.type == "video" and packet.is_keyframe
        is_skipped = packet.stream.type == "video" and self._backlog.skips(packet.is_keyframe, arrived_ns)
        if is_skipped:
            self._drop("image", "behind")
        return is_skipped

    def _take(self, packet: Packet, arrived_ns: int) -> None:
        found = [] if self._is_skipped(packet, arrived_ns) else self._decode(packet)
        if self._kept is not None:
            # before its pictures are delivered, and also where none are: the ones after it refer to it
            self._kept.hand_on(packet, arrived_ns)
        for decoded in found:
            if isinstance(decoded, av.VideoFrame):
                self._take_picture(decoded, arrived_ns)
            elif isinstance(decoded, av.AudioFrame):
                self._take_sound(decoded, arrived_ns)
        self._camera.drift_ppm = self._clock.drift_ppm

    def _decode(self, packet: Packet) -> list[object]:
        try:
            if packet.stream.type == "video":
                return list(self._camera.pictures.decode(packet))
            return list(packet.decode())
        except av.FFmpegError:
            if packet.stream.type != "video":
                self._drop("audio", "corrupt")
            elif self._has_key:
                self._drop("image", "corrupt")
            return []

    def _take_picture(self, picture: av.VideoFrame, arrived_ns: int) -> None:
        if picture.is_corrupt:
            if self._has_key:
                self._drop("image", "corrupt")
            return
        captured_ns = arrived_ns
        if self._has_time:
            at_ns = pts_ns(picture)
            if at_ns is not None:
                captured_ns = at_ns + self._clock.observe("image", at_ns, arrived_ns)
            elif self._last_frame_ns:
                self._drop("image", "no_time")
                return
            # without a time it is the first picture of an RTSP stream, to which FFmpeg gives none

            # the offset may fall, but a picture is never older than the one before it
            captured_ns = self._last_frame_ns = max(captured_ns, self._last_frame_ns)
            self._backlog.observe(arrived_ns - captured_ns, arrived_ns)
        preparation = self._camera.picture
        if preparation and not self._rate.takes(captured_ns):
            self._camera.counters["image"].left_out += 1
        elif preparation:
            self.has_delivered = True
            self._deliver(preparation.prepare(to_frame(picture, captured_ns)))

    def _take_sound(self, sound: av.AudioFrame, arrived_ns: int) -> None:
        at_ns = pts_ns(sound)
        if at_ns is None or self._cutter is None:
            self._drop("audio", "no_time")
            return
        end_ns = at_ns + sound.samples * NS_PER_S // sound.sample_rate
        offset_ns = self._clock.observe("audio", end_ns, arrived_ns)
        has_jumped = abs(offset_ns - self._sound_offset_ns) > UNTIE_NS
        if has_jumped or not self._cutter.continues(sound.sample_rate, at_ns):
            # what is left of the run before has its offset
            self._deliver_sound(self._cutter.end_run(), self._sound_offset_ns)
        self._sound_offset_ns = offset_ns
        samples = to_samples(sound, self._camera.channel)
        self._deliver_sound(self._cutter.push(samples, sound.sample_rate, at_ns), offset_ns)

    def _deliver_sound(self, blocks: Iterable[Block], offset_ns: int) -> None:
        for block in blocks:
            self.has_delivered = True
            self._deliver(moved(block, offset_ns))

    def _drop(self, modality: Modality, reason: str) -> None:
        self._camera.counters[modality].drop(reason)

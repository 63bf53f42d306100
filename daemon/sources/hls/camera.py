"""A camera or server that sends HLS: a playlist of short files with picture and sound."""

import heapq
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from threading import Event

from daemon.core.errors import NothingUsed, SourceError
from daemon.core.media import DecoderSetting, DecoderStatus, MediaPacket, PacketSink
from daemon.core.ports import Deliver
from daemon.core.records import Captured, Counters, Modality, delayed, moved
from daemon.core.timing import NS_PER_MS, NS_PER_S, monotonic_ns, seconds_until
from daemon.sources.decoding.decoder import CameraDecoder
from daemon.sources.hls.download import Download, Fetched
from daemon.sources.hls.packets import KINDS, Kind, SegmentPackets
from daemon.sources.hls.position import Position
from daemon.sources.hls.segment import SegmentDecoder
from daemon.sources.hls.timing import Pace, SegmentClock
from daemon.sources.hls.watch import PlaylistWatch
from daemon.sources.network.camera import MIN_READ_TIMEOUT_S
from daemon.sources.network.opening import label_of
from daemon.sources.picture import PicturePreparation

# Of `read_timeout_s`: how long the next segment may be overdue. The supervisor closes the source after all of it, and
# does not know the reason.
PATIENCE = 0.9

# While the stream is opened, a new segment may take this many target durations longer.
OPENING_TARGETS = 2

# How often `stop` is checked while no segment comes.
CHECK_STOP_S = 0.2

# Items that are due within this time are delivered together, because each wait takes processor time.
SHORTEST_WAIT_NS = 5 * NS_PER_MS

# What a segment needs besides its download, on a busy machine.
MARGIN_NS = 100 * NS_PER_MS

log = logging.getLogger(__name__)


@dataclass
class HlsCamera:
    """Plays the segments of a playlist one after the other, at the pace of their own times.

    A stamp is the arrival of the segment, less the distance to its end.
    An item is delivered when a delay after its stamp has passed, which is a little more than the length of a segment.
    The position in the stream outlives a failure: the next run goes on with the segment after the last one.
    `picture` None: no pictures. `sample_rate_hz` None: no sound.
    `packets` gets the coded packets, each a little before what is decoded of it is delivered.
    """

    url: str = field(repr=False)
    counters: Mapping[Modality, Counters]
    picture: PicturePreparation | None
    sample_rate_hz: int | None = None
    channel: int = 0
    fps: float | None = None
    read_timeout_s: float = MIN_READ_TIMEOUT_S
    packets: PacketSink | None = None
    decoding: DecoderSetting = "software"
    drift_ppm: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.coded = CameraDecoder(self.decoding, self.counters.get("image"))
        self.position = Position()
        self.clock = SegmentClock()
        self.pace = Pace()

    @property
    def decoder(self) -> DecoderStatus | None:
        """What decodes the pictures. None: not known yet."""
        return self.coded.status

    @property
    def used(self) -> frozenset[Modality]:
        """The modalities that are delivered."""
        modalities: tuple[tuple[Modality, object], ...] = (("image", self.picture), ("audio", self.sample_rate_hz))
        return frozenset(modality for modality, setting in modalities if setting)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of packets that are handed on."""
        return tuple(kind for kind, modality in KINDS.items() if modality in self.used)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the stream does not open, stalls or ends."""
        label = label_of(self.url)
        self.position.rewind()
        watch = PlaylistWatch(self.url, label, self.position, self.used)
        missed = [self.counters[modality] for modality in self.used]
        download = Download(self.url, watch, label, missed, self.read_timeout_s)
        decoder = SegmentDecoder(self.counters, self.picture, self.sample_rate_hz, self.channel, self.fps, self.coded)
        download.start()
        try:
            _Player(self, watch, download, decoder, deliver).play(label, stop)
        finally:
            download.close()
            decoder.close()


class _Player:
    """The playing of the segments of one run."""

    def __init__(
        self,
        camera: HlsCamera,
        watch: PlaylistWatch,
        download: Download,
        decoder: SegmentDecoder,
        deliver: Deliver,
    ) -> None:
        self._camera = camera
        self._watch = watch
        self._download = download
        self._decoder = decoder
        self._deliver = deliver
        self._has_begun = False
        self._kept = SegmentPackets(*camera.kinds) if camera.packets else None

    def play(self, label: str, stop: Event) -> None:
        """Play until stopped. Raises SourceError when no segment comes in time, and when the stream has ended."""
        try:
            while (fetched := self._next(label, stop)) is not None:
                self._check(fetched, label)
                self._play_segment(fetched, stop)
        finally:
            self._deliver_in_time(self._decoder.finish(), stop)
        if not stop.is_set():
            raise SourceError(f"{label}: the stream has ended")

    def _next(self, label: str, stop: Event) -> Fetched | None:
        """Return the next segment, None when stopped or at the end. Raises SourceError when none comes in time."""
        began_ns = monotonic_ns()
        while not stop.is_set():
            if (fetched := self._download.next(CHECK_STOP_S)) is not None:
                return fetched
            failure = self._download.failure
            if self._download.has_finished and failure is None:
                return None
            waited_ns = monotonic_ns() - began_ns
            is_closed = self._download.load_failure is not None and not self._has_begun
            if self._download.has_finished or is_closed or waited_ns > self._patience_ns():
                hint = "for a server that is so uneven, raise stall_after_s"
                waited = f"no new segment came for {waited_ns / NS_PER_S:.1f} s; {hint}"
                raise failure or SourceError(f"{label}: {waited}")
        return None

    def _patience_ns(self) -> int:
        opening_ns = 0 if self._has_begun else OPENING_TARGETS * self._watch.target_ns
        return opening_ns + round(PATIENCE * self._camera.read_timeout_s * NS_PER_S)

    def _check(self, fetched: Fetched, label: str) -> None:
        """Look at the first segment. Raises SourceError when it contains nothing that is used."""
        used, found = self._camera.used, fetched.contents.modalities
        if self._has_begun:
            return
        if not used & found:
            raise NothingUsed(label, used)
        if "audio" in used - found:
            log.warning("%s: the stream has no sound", label)

    def _play_segment(self, fetched: Fetched, stop: Event) -> None:
        camera, clock, span_ns = self._camera, self._camera.clock, fetched.contents.span_ns
        camera.position.mark_played(fetched.number)
        continues = clock.continues(span_ns, fetched.missed_ns) and not fetched.starts_anew
        if not continues or fetched.missed_ns:
            self._deliver_in_time(self._decoder.finish(), stop)
            if self._kept is not None:
                self._kept.restart()
        clock.begin(span_ns, fetched.arrived_ns, monotonic_ns(), continues=continues)
        camera.drift_ppm = clock.drift_ppm
        camera.pace.begin(clock.start_ns, fetched.ready_ns, self._watch.step_ns + MARGIN_NS)
        items: Iterator[tuple[int, Captured | MediaPacket]] = self._decoder.items(fetched.data, clock.turns)
        if self._kept is not None:
            # a packet comes before what is decoded of it
            items = heapq.merge(self._kept.items(fetched.data, clock.turns), items, key=itemgetter(0))
        self._deliver_in_time(items, stop)
        self._has_begun = True

    def _deliver_in_time(self, items: Iterable[tuple[int, Captured | MediaPacket]], stop: Event) -> None:
        """Deliver each item when it is due. A packet is handed on as soon as what comes before it is delivered."""
        for end_ns, item in items:
            offset_ns = self._camera.clock.offset_ns(end_ns)
            due_ns = self._camera.pace.due_ns(end_ns + offset_ns)
            delay_ns = due_ns - end_ns - offset_ns
            if isinstance(item, MediaPacket):
                if self._camera.packets is not None:
                    self._camera.packets(replace(item, captured_ns=item.pts_ns + offset_ns, delay_ns=delay_ns))
                continue
            if due_ns - monotonic_ns() > SHORTEST_WAIT_NS:
                stop.wait(seconds_until(due_ns))
            if stop.is_set():
                return
            self._deliver(delayed(moved(item, offset_ns), delay_ns))

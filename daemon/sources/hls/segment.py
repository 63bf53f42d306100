"""Decodes the segments of an HLS stream: MPEG-TS and fragmented MP4."""

import heapq
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from typing import TypeVar

import av
from av.container import InputContainer

from daemon.core.errors import SourceError
from daemon.core.records import Captured, Counters, Modality
from daemon.core.timing import FrameRate
from daemon.sources.container import Packet, pts_ns, ticks_ns, to_frame, to_samples
from daemon.sources.decoding.decoder import CameraDecoder
from daemon.sources.picture import PicturePreparation
from daemon.sources.stamping import BlockCutter

# The end of an item on the clock of the stream, and the item with stamps of that clock.
Item = tuple[int, Captured]

Decoded = TypeVar("Decoded", av.VideoFrame, av.AudioFrame)

MODALITY: Mapping[str, Modality] = {"video": "image", "audio": "audio"}

# MPEG-TS is made of packets of 188 bytes, which begin with this byte.
SYNC_BYTE, TS_PACKET = 0x47, 188

# The boxes that an initialisation section or a segment of MP4 may begin with.
MP4_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"emsg", b"prft"})

# Presentation times of MPEG-TS have so many bits.
TS_BITS = 33

# Nothing is guessed from many pictures, because the times are in the packets.
OPTIONS = {"fpsprobesize": "0"}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a segment contains, and the presentation times of its begin and end."""

    span_ns: tuple[int, int]
    modalities: frozenset[Modality]


def contents_of(data: bytes) -> Contents:
    """Return what a segment contains. Raises SourceError where it cannot be read."""
    start_ns: int | None = None
    end_ns = -1
    found: set[Modality] = set()
    try:
        with opened(data) as container:
            for packet in container.demux(*container.streams.video[:1], *container.streams.audio[:1]):
                at_ns = pts_ns(packet)
                if at_ns is None or not packet.size:
                    continue
                found.add(MODALITY[packet.stream.type])
                start_ns = at_ns if start_ns is None else min(start_ns, at_ns)
                end_ns = max(end_ns, at_ns + (ticks_ns(packet.duration, packet.time_base) or 0))
    except (av.FFmpegError, OSError, ValueError):
        start_ns = None
    if start_ns is None:
        raise SourceError("a segment contains neither a picture nor sound that can be read")
    return Contents((start_ns, end_ns), frozenset(found))


class SegmentDecoder:
    """Decodes segments one after the other, as one stream: a decoder outlives the segment that it began with.

    The sound of segments that follow each other has no gap, and no picture waits for a key frame.
    `picture` None: no pictures. `sample_rate_hz` None: no sound.
    """

    def __init__(
        self,
        counters: Mapping[Modality, Counters],
        picture: PicturePreparation | None,
        sample_rate_hz: int | None,
        channel: int,
        fps: float | None,
        coded: CameraDecoder | None = None,
    ) -> None:
        """`coded` decodes the pictures, in software where it is not given."""
        self._counters = counters
        self._picture = picture
        self._cutter = BlockCutter(sample_rate_hz) if sample_rate_hz else None
        self._channel = channel
        self._rate = FrameRate(fps)
        self._decoders: dict[str, _Decoder] = {}
        self._coded = coded or CameraDecoder("software", None)

    def items(self, data: bytes, turns: int) -> Iterator[Item]:
        """Return what a segment contains, in the order of the ends. `turns`: how often its times have wrapped.

        The last pictures may be among the items of the next segment, because decoders reorder.
        """
        parts: list[Iterator[Item]] = []
        if self._picture:
            parts.append(self._pictures(self._decode(data, turns, "video", av.VideoFrame), self._picture))
        if self._cutter:
            parts.append(self._blocks(self._decode(data, turns, "audio", av.AudioFrame), self._cutter))
        return heapq.merge(*parts, key=itemgetter(0))

    def finish(self) -> Iterator[Item]:
        """Return what the decoders still hold. The next segment begins with new ones."""
        parts: list[Iterator[Item]] = []
        if self._picture:
            parts.append(self._pictures(self._flush("video", av.VideoFrame), self._picture))
        if self._cutter:
            parts.append(self._last_blocks(self._cutter))
        return heapq.merge(*parts, key=itemgetter(0))

    def close(self) -> None:
        """Free the decoders."""
        for decoder in self._decoders.values():
            decoder.owner.close()
        self._decoders.clear()
        self._coded.close()

    def _pictures(self, pictures: Iterator[av.VideoFrame], preparation: PicturePreparation) -> Iterator[Item]:
        for picture in pictures:
            at_ns = pts_ns(picture)
            if at_ns is None or picture.is_corrupt:
                self._counters["image"].drop("no_time" if at_ns is None else "corrupt")
            elif self._rate.takes(at_ns):
                yield at_ns, preparation.prepare(to_frame(picture, at_ns))
            else:
                self._counters["image"].left_out += 1

    def _blocks(self, sounds: Iterator[av.AudioFrame], cutter: BlockCutter) -> Iterator[Item]:
        for sound in sounds:
            at_ns = pts_ns(sound)
            if at_ns is None:
                self._counters["audio"].drop("no_time")
                continue
            for block in cutter.push(to_samples(sound, self._channel), sound.sample_rate, at_ns):
                yield block.end_ns, block

    def _last_blocks(self, cutter: BlockCutter) -> Iterator[Item]:
        yield from self._blocks(self._flush("audio", av.AudioFrame), cutter)
        for block in cutter.end_run():
            yield block.end_ns, block

    def _decode(self, data: bytes, turns: int, kind: str, result: type[Decoded]) -> Iterator[Decoded]:
        """Decode one stream of a segment. What cannot be decoded is dropped and counted."""
        container = opened(data)
        streams = container.streams.video if kind == "video" else container.streams.audio
        try:
            for packet in container.demux(*streams[:1]) if streams else ():
                if not packet.size:
                    continue  # the end of the segment is not that of the stream
                if turns and packet.pts is not None:
                    packet.pts += turns << TS_BITS
                yield from self._results(packet, self._decoder(container, streams[0]), kind, result)
        except (av.FFmpegError, OSError):
            self._counters[MODALITY[kind]].drop("corrupt")
        finally:
            if all(container is not decoder.owner for decoder in self._decoders.values()):
                container.close()

    def _results(
        self, packet: "Packet | None", decoder: "_Decoder", kind: str, result: type[Decoded]
    ) -> Iterator[Decoded]:
        if packet is not None:
            decoder.has_key |= packet.is_keyframe
            decoder.time_base = packet.time_base
        try:
            decoded = self._decoded(packet, decoder)
        except av.FFmpegError:
            if decoder.has_key:
                self._counters[MODALITY[kind]].drop("corrupt")
            return
        for item in decoded:
            if isinstance(item, result) and (decoder.has_key or not item.is_corrupt):
                # the decoder does not say the unit of what it still holds at the end
                item.time_base = item.time_base or decoder.time_base
                yield item

    def _decoded(self, packet: "Packet | None", decoder: "_Decoder") -> Sequence[object]:
        if decoder.context.type != "video":
            return decoder.context.decode(packet)
        return self._coded.finish() if packet is None else self._coded.decode(packet)

    def _decoder(self, container: InputContainer, stream: "av.VideoStream | av.AudioStream") -> "_Decoder":
        """Return the decoder for the stream of a segment: that of the segments before, if it fits."""
        context = stream.codec_context
        # MPEG-TS repeats the parameters of the decoder in its packets, and MP4 does not
        made_for = (context.name, context.extradata if "mp4" in container.format.name else None)
        known = self._decoders.get(stream.type)
        if known is not None and known.made_for == made_for:
            return known
        if known is not None:
            known.owner.close()
        context.thread_count = 1  # each thread of a decoder adds a picture of delay
        self._decoders[stream.type] = _Decoder(made_for, context, container)
        if isinstance(context, av.VideoCodecContext):
            self._coded.begin(context)
        return self._decoders[stream.type]

    def _flush(self, kind: str, result: type[Decoded]) -> Iterator[Decoded]:
        decoder = self._decoders.pop(kind, None)
        if decoder is None:
            return
        try:
            yield from self._results(None, decoder, kind, result)
        finally:
            decoder.owner.close()


@dataclass(slots=True, eq=False)
class _Decoder:
    """A decoder, what it was made for, the container that owns it, and the unit of its times.

    `has_key`: a key picture has come. What comes before it refers to one that was never received.
    """

    made_for: tuple[str, bytes | None]
    context: "av.VideoCodecContext | av.AudioCodecContext"
    owner: InputContainer
    time_base: Fraction | None = None
    has_key: bool = False


def opened(data: bytes) -> InputContainer:
    """Open a segment. Raises SourceError where its format is another one."""
    if data[:1] == bytes([SYNC_BYTE]) and data[TS_PACKET : TS_PACKET + 1] in (bytes([SYNC_BYTE]), b""):
        return av.open(io.BytesIO(data), "r", format="mpegts", options=OPTIONS, metadata_errors="replace")
    if data[4:8] in MP4_BOXES:
        return av.open(io.BytesIO(data), "r", format="mp4", options=OPTIONS, metadata_errors="replace")
    raise SourceError("its segments are neither MPEG-TS nor fragmented MP4, and others are not supported")

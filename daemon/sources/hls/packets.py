"""The packets of segments, for a film that goes on from segment to segment."""

import heapq
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Literal

import av

from daemon.core.errors import SourceError
from daemon.core.media import MediaPacket
from daemon.core.records import Modality
from daemon.sources.container import ticks_ns
from daemon.sources.hls.segment import TS_BITS, opened
from daemon.sources.media import MediaTrack, is_kept

Kind = Literal["video", "audio"]
KINDS: Mapping[Kind, Modality] = {"video": "image", "audio": "audio"}


class SegmentPackets:
    """Takes the packets out of segments. What cannot be read is left out: the decoder counts it."""

    def __init__(self, *kinds: Kind) -> None:
        self._tracks = {kind: MediaTrack() for kind in kinds}

    def restart(self) -> None:
        """Begin a new film with the next segment, whose times do not continue those before."""
        for track in self._tracks.values():
            track.restart()

    def items(self, data: bytes, turns: int) -> Iterator[tuple[int, MediaPacket]]:
        """Return the packets of a segment, each with its decoding time, in the order of these times.

        `turns`: how often the times have wrapped. `captured_ns` of a packet is still its time on the stream's clock.
        """
        parts = (self._of_kind(kind, track, data, turns) for kind, track in self._tracks.items())
        # a segment may have its sound long before its pictures, or after them
        return heapq.merge(*parts, key=itemgetter(0))

    def _of_kind(self, kind: Kind, track: MediaTrack, data: bytes, turns: int) -> Iterator[tuple[int, MediaPacket]]:
        try:
            with opened(data) as container:
                streams = container.streams.video if kind == "video" else container.streams.audio
                for packet in container.demux(*streams[:1]) if streams and is_kept(streams[0]) else ():
                    if packet.dts is None or packet.pts is None:
                        continue  # the end of the segment too
                    pts_ns, dts_ns = (
                        ticks_ns(ticks + (turns << TS_BITS if turns else 0), packet.time_base) or 0
                        for ticks in (packet.pts, packet.dts)
                    )
                    yield dts_ns, track.packet(packet, pts_ns, dts_ns, 0)
        except (av.FFmpegError, OSError, ValueError, SourceError):
            return

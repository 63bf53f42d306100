"""Hands on the packets of a network camera, with the times that its pictures and its sound get."""

from daemon.core.media import PacketSink
from daemon.core.timing import NS_PER_MS
from daemon.sources.container import Packet, ticks_ns
from daemon.sources.media import MediaTrack, duration_ns, is_kept
from daemon.sources.network.arrival import StreamClock

# The first packets of an RTSP stream have no time. So many are held until one has.
MAX_HELD = 16


class StreamPackets:
    """The packets of one opened stream. Its clock is like that of the decoded pictures and sound."""

    def __init__(self, sink: PacketSink, *, has_time: bool) -> None:
        """Without `has_time` the times of the packets are made up, and their arrival counts."""
        self._sink = sink
        self._has_time = has_time
        self._clock = StreamClock()
        self._tracks: dict[int, MediaTrack] = {}
        self._held: list[Packet] = []

    def hand_on(self, packet: Packet, arrived_ns: int) -> None:
        """Hand on a packet that arrived at `arrived_ns`, if its codec is kept."""
        if not packet.size or not is_kept(packet.stream):
            return
        if not self._has_time:
            self._emit(packet, arrived_ns, arrived_ns, 0)
            return
        dts_ns = ticks_ns(packet.dts, packet.time_base)
        if dts_ns is None:
            self._hold(packet)
            return
        if packet.stream.type == "audio":
            offset_ns = self._clock.observe("audio", dts_ns + duration_ns(packet), arrived_ns)
        else:
            # a decoder gives a picture when the packet with its time as decoding time comes, and then it is observed
            offset_ns = self._clock.observe("image", dts_ns, arrived_ns)
            self._emit_held(dts_ns, offset_ns)
        self._emit(packet, _shown_ns(packet, dts_ns), dts_ns, offset_ns)

    def _hold(self, packet: Packet) -> None:
        if packet.stream.type == "video" and packet.stream.index not in self._tracks and len(self._held) < MAX_HELD:
            self._held.append(packet)

    def _emit_held(self, next_ns: int, offset_ns: int) -> None:
        """Hand on the pictures before the first one with a time, at their distance to it."""
        held, self._held = self._held, []
        for number, packet in enumerate(held):
            dts_ns = next_ns - (len(held) - number) * max(duration_ns(packet), NS_PER_MS)
            self._emit(packet, _shown_ns(packet, dts_ns), dts_ns, offset_ns)

    def _emit(self, packet: Packet, pts_ns: int, dts_ns: int, offset_ns: int) -> None:
        track = self._tracks.setdefault(packet.stream.index, MediaTrack())
        self._sink(track.packet(packet, pts_ns, dts_ns, offset_ns))


def _shown_ns(packet: Packet, dts_ns: int) -> int:
    """Return when a picture is shown: when it is decoded, where the stream does not say it."""
    pts_ns = ticks_ns(packet.pts, packet.time_base)
    return dts_ns if pts_ns is None else pts_ns

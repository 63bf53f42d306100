"""The MP4 file of a clip: its tracks, and packets at their times."""

from fractions import Fraction
from typing import BinaryIO

import av
from av.container import OutputContainer

from daemon.core.media import MediaPacket
from daemon.core.records import Block
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.history.sound_track import SoundTrack
from daemon.history.track_formats import add_track

NANOSECONDS = Fraction(1, NS_PER_S)

# the ticks of the file in a second, for pictures
VIDEO_TIME_BASE = Fraction(1, 90_000)

# the smallest distance of two packets of a track: longer than a tick of any track
STEP_NS = NS_PER_MS

# how long before it is shown a picture is decoded. More is a mistake of the camera
MAX_REORDER_NS = 2 * NS_PER_S

# of a picture, until the next one comes
FIRST_DURATION_NS = 40 * NS_PER_MS
MAX_DURATION_NS = NS_PER_S


class TrackTimes:
    """The times of one track's packets within the file. They never go back, whatever a camera sends. Pure."""

    def __init__(self, zero_ns: int) -> None:
        self._zero_ns = zero_ns
        self._dts_ns: int | None = None
        self._duration_ns = FIRST_DURATION_NS
        self.end_ns = 0

    def place(self, packet: MediaPacket) -> tuple[int, int, int]:
        """Return when a packet is presented and decoded, and how long it lasts, in nanoseconds of the file."""
        pts_ns = packet.captured_ns - self._zero_ns
        dts_ns = pts_ns - min(max(packet.pts_ns - packet.dts_ns, 0), MAX_REORDER_NS)
        if self._dts_ns is not None:
            dts_ns = max(dts_ns, self._dts_ns + STEP_NS)
            self._duration_ns = min(dts_ns - self._dts_ns, MAX_DURATION_NS)
        self._dts_ns = dts_ns
        pts_ns = max(pts_ns, dts_ns)
        self.end_ns = max(self.end_ns, pts_ns + self._duration_ns)
        return pts_ns, dts_ns, self._duration_ns


class ClipFile:
    """An MP4 with at most one track of pictures and one of sound. Its time 0 is `zero_ns`. Used by one thread.

    `picture` and `sound` are the first packets of their tracks. `has_blocks`: the sound comes as blocks instead.
    Raises OSError when the disk does; av.FFmpegError and ValueError for a format that cannot be written.
    """

    def __init__(
        self, file: BinaryIO, zero_ns: int, picture: MediaPacket | None, sound: MediaPacket | None, *, has_blocks: bool
    ) -> None:
        self._output: OutputContainer = av.open(file, "w", format="mp4")
        self._times = {"video": TrackTimes(zero_ns), "audio": TrackTimes(zero_ns)}
        self._tracks: dict[str, av.stream.Stream] = {}
        self._blocks: SoundTrack | None = None
        if picture is not None:
            self._tracks["video"] = track = add_track(self._output, picture)
            track.time_base = VIDEO_TIME_BASE
        if sound is not None:
            self._tracks["audio"] = track = add_track(self._output, sound)
            track.time_base = Fraction(1, sound.format.sample_rate_hz)
        elif has_blocks:
            self._blocks = SoundTrack(self._output, zero_ns)
        self._output.start_encoding()

    @property
    def end_ns(self) -> int:
        """Return when the last picture or sound ends, within the file."""
        ends = [times.end_ns for times in self._times.values()]
        return max(ends + ([self._blocks.end_ns] if self._blocks else []))

    def add(self, packet: MediaPacket) -> bool:
        """Write a packet; return whether FFmpeg takes it. Packets of a kind without a track are left out."""
        track = self._tracks.get(packet.format.kind)
        if track is None:
            return True
        coded = av.Packet(packet.data)
        coded.stream, coded.time_base = track, NANOSECONDS
        coded.pts, coded.dts, coded.duration = self._times[packet.format.kind].place(packet)
        coded.is_keyframe = packet.is_key
        return self._mux([coded])

    def add_block(self, block: Block) -> bool:
        """Write a block; return whether FFmpeg takes it."""
        if self._blocks is None:
            return True
        try:
            packets = self._blocks.add(block)
        except (av.FFmpegError, ValueError):
            return False
        return self._mux(packets)

    def finish(self) -> None:
        """Write the rest, and the table of contents. Raises OSError, av.FFmpegError, ValueError."""
        if self._blocks is not None:
            self._mux(self._blocks.finish())
        self._output.close()

    def abandon(self) -> None:
        """Release what FFmpeg holds; the file is of no use."""
        # PyAV ends every file that it has begun, here or when the object goes; neither may reach the disk's error again
        try:
            self._output.close()
        except (OSError, av.FFmpegError, ValueError):
            return

    def _mux(self, packets: "list[av.Packet[av.stream.Stream]] | list[av.Packet[av.AudioStream]]") -> bool:
        try:
            for packet in packets:
                self._output.mux(packet)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, OSError):
                raise
            return False
        return True

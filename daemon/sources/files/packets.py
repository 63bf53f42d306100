"""The packets of a file on one timeline, through splices, and to where the file really ends."""

import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from daemon.core.errors import RecordingError, SourceError
from daemon.core.timing import NS_PER_S
from daemon.sources.container import Packet, has_decoder, open_file, reason_of, ticks_ns, use_one_thread
from daemon.sources.files.integrity import problem_at_end, problem_of_length
from daemon.sources.files.timeline import AHEAD_NS, Timeline

# A playlist in a file reaches no network. A spliced MPEG-TS file goes on in the same streams, under other numbers.
OPTIONS = {"protocol_whitelist": "file", "merge_pmt_versions": "1"}

# AVFMT_TS_DISCONT: the times of this format may begin anew anywhere. Those of FLV are those of a live stream too.
MAY_SKIP = 0x0200

# FFmpeg's names of formats in which the last picture has no duration. Only their header tells how long it lasts.
HEADER_TELLS_END = frozenset({"matroska,webm", "flv"})


class FilePackets:
    """The packets of the first picture stream and the first sound stream of a file that can be decoded.

    `video` and `audio` are these streams. `without_decoder` has the types of streams that FFmpeg cannot decode.
    `start_ns` is the presentation time at which the file begins.
    Once all packets have been read, `length_ns` is the length of the file, and `problem` says what is wrong with it.
    """

    def __init__(self, path: Path) -> None:
        """Raises SourceError when the file is missing or not readable, and RecordingError when it is damaged."""
        self._path = path
        mode = _mode(path)
        if mode is not None and not stat.S_ISREG(mode):
            # a FIFO would wait for its writer, and each reader of it would get a part of it
            raise SourceError(f"{path}: is not a regular file and cannot be played: name a file with a recording")
        try:
            self._container = open_file(path, OPTIONS)
        except SourceError as error:
            if mode is None or not os.access(path, os.R_OK):
                raise
            raise _damage(path, error) from error
        use_one_thread(self._container)
        streams = self._container.streams
        self.video = next(filter(has_decoder, streams.video), None)
        self.audio = next(filter(has_decoder, streams.audio), None)
        self.without_decoder = {each.type for each in (*streams.video, *streams.audio) if not has_decoder(each)}
        self.start_ns = (self._container.start_time or 0) * NS_PER_S // av.time_base
        self._may_skip = bool(self._container.format.flags & MAY_SKIP) or self._container.format.name == "flv"
        self.length_ns = 0
        self.problem: str | None = None

    def __iter__(self) -> Iterator[Packet]:
        """Yield the packets up to where the file ends or cannot be read, then one without data for each stream."""
        container = self._container
        time_bases = {stream.index: stream.time_base for stream in (self.video, self.audio) if stream}
        timeline = Timeline(may_skip=self._may_skip)
        first_byte = 0
        try:
            for packet in container.demux():
                stream = packet.stream
                time_base = time_bases.get(stream.index)
                if time_base is not None:
                    if not first_byte and stream.type == "audio":
                        first_byte = packet.pos or 0
                    self._place(packet, stream.index, time_base, timeline)
                    yield packet
            self.problem = problem_at_end(self._path) or problem_of_length(container, first_byte, timeline.end_ns)
        except (av.FFmpegError, OSError, OverflowError) as error:
            self.problem = f"cannot be read to its end: {reason_of(error)}"
        except IndexError:  # PyAV cannot follow
            self.problem = "cannot be read to its end: further streams begin in it"
        is_declared = container.format.name in HEADER_TELLS_END
        declared_ns = (container.duration or 0) * NS_PER_S // av.time_base if is_declared else 0
        self.length_ns = max(timeline.end_ns, declared_ns)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _place(self, packet: Packet, stream: int, time_base: Fraction, timeline: Timeline) -> None:
        """Shift the times of a packet to its place on the timeline. They still count from `start_ns`."""
        decoded_ns, shown_ns = ticks_ns(packet.dts, time_base), ticks_ns(packet.pts, time_base)
        if self._may_skip and decoded_ns is not None and shown_ns is not None and shown_ns > decoded_ns + AHEAD_NS:
            packet.pts = shown_ns = None  # damaged: a recording without checksums tells no damage
        begins_ns = decoded_ns if shown_ns is None else shown_ns
        if begins_ns is None:
            return
        ends_ns = begins_ns + (ticks_ns(packet.duration, time_base) or 0) - self.start_ns
        decoded_ns = None if decoded_ns is None else decoded_ns - self.start_ns
        shift_ns = timeline.shift_ns(stream, decoded_ns, ends_ns)
        if shift_ns:
            ticks = shift_ns * time_base.denominator // (time_base.numerator * NS_PER_S)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks


def _damage(path: Path, error: SourceError) -> SourceError:
    """Return the error of a file that can be read and cannot be opened as a recording."""
    try:
        problem = problem_at_end(path)
    except OSError:
        return error
    return RecordingError(f"{path}: {problem}" if problem else str(error))


def _mode(path: Path) -> int | None:
    """Return type and permissions of what the path names, or None where that is not known."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None  # opening it tells why

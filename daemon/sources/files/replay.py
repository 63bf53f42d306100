"""Plays a file as a camera with a microphone and a text inlet, in real time or as fast as possible."""

import heapq
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TypeVar

import av

from daemon.core.errors import RecordingError, SourceError
from daemon.core.media import DecoderSetting, DecoderStatus
from daemon.core.ports import Deliver
from daemon.core.records import Block, Captured, Counters, Line, Modality, moved
from daemon.core.timing import NS_PER_MS, NS_PER_S, FrameRate, monotonic_ns
from daemon.sources.container import pts_ns, ticks_ns, to_frame, to_samples
from daemon.sources.decoding.decoder import CameraDecoder
from daemon.sources.files.packets import FilePackets
from daemon.sources.files.timeline import PictureTimes
from daemon.sources.picture import PicturePreparation
from daemon.sources.stamping import BlockCutter

# The kinds of items, in the order of items that end at the same time. Nothing is read during a rest.
IMAGE, AUDIO, TEXT, REST = range(4)

UNUSED_SOUND = "its sound needs `microphone: camera`, and a bundle that hears"

# The end of an item since the start of the file, its kind, and the item.
TimedItem = tuple[int, int, Captured]
TimedItemOrRest = TimedItem | tuple[int, int, None]

Decoded = TypeVar("Decoded", av.VideoFrame, av.AudioFrame)

# In real time an item is delivered at most this much after its time. A machine that reads the file more slowly plays it
# more slowly: what comes later is put off.
MAX_BEHIND_NS = NS_PER_S // 4

# In real time sound waits for the next picture, or until this much has gathered. Each waking costs 0.1 ms of processor
# time, and a recording has more blocks of sound than pictures.
TOGETHER_NS = 40 * NS_PER_MS

# Shorter waits sleep: that takes 70 us of processor time, where waiting for an Event takes 130 us.
SHORT_WAIT_S = 0.05


@dataclass(frozen=True)
class Recording:
    """A file to play, with timed lines.

    `sample_rate_hz` is the rate of the blocks (None: no sound). `picture` prepares the frames (None: no pictures).
    """

    path: Path
    lines: tuple[Line, ...] = ()
    sample_rate_hz: int | None = None
    channel: int = 0
    picture: PicturePreparation | None = None
    fps: float | None = None


@dataclass
class ReplaySource:
    """Plays a recording, once or in a loop, in real time or as fast as `deliver` returns.

    A stamp is the start of the pass plus the time in the file.
    Items are delivered in the order of their end. Items that end together come as image, audio, text.
    In real time each item is delivered at its end, but sound up to TOGETHER_NS later, with a picture. The schedule does
    not drift, unless the machine cannot read the file in time. Then it is put off by the time that is missing, which
    `counters` count.
    """

    recording: Recording
    loop: bool
    is_realtime: bool
    counters: Mapping[Modality, Counters]
    decoding: DecoderSetting = "software"
    drift_ppm: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._coded = CameraDecoder(self.decoding, self.counters.get("image"))

    @property
    def decoder(self) -> DecoderStatus | None:
        """What decodes the pictures. None: not known yet."""
        return self._coded.status

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Play until the end or until stopped. Raises SourceError when the file is missing, broken or cut off."""
        base_ns = monotonic_ns()
        try:
            while not stop.is_set():
                base_ns = self._play(base_ns, deliver, stop)
                if not self.loop:
                    return
        finally:
            self._coded.close()

    def _play(self, base_ns: int, deliver: Deliver, stop: Event) -> int:
        """Play the file once, from `base_ns` on. Return when the next pass begins."""
        length_ns = 0
        reader = _Reader(self.recording, self.counters, self._coded)
        try:
            picture_ns = 0
            for due_ns, group in gathered(reader.items(rests=self.is_realtime)):
                is_rest = group[0][1] == REST
                # a wait costs 0.1 ms, so a rest is skipped after an item in the second half of it
                if self.is_realtime and not (is_rest and 2 * length_ns >= picture_ns + due_ns):
                    _wait(base_ns + due_ns, stop)
                if stop.is_set():
                    break
                for end_ns, kind, item in group:
                    if item is not None:
                        # on a busy machine much time passes between two items of a group
                        if self.is_realtime:
                            base_ns += self._put_off(monotonic_ns() - base_ns - end_ns)
                        deliver(moved(item, base_ns))
                        length_ns = end_ns
                    if kind == IMAGE:
                        picture_ns = end_ns
        finally:
            reader.close()
        length_ns = max(length_ns, reader.length_ns)
        if self.loop and length_ns == 0 and not stop.is_set():
            raise SourceError(f"{self.recording.path}: contains nothing to play in a loop")
        if self.is_realtime:
            _wait(base_ns + length_ns, stop)
        return base_ns + length_ns

    def _put_off(self, behind_ns: int) -> int:
        """Return by how much the schedule is put off for an item that is behind its time, and count it."""
        by_ns = behind_ns - MAX_BEHIND_NS
        if by_ns <= 0:
            return 0
        self.counters["image" if self.recording.picture else "audio"].put_off_ns += by_ns
        return by_ns


class _Reader:
    """Reads picture and sound of a file in parallel, each through its own container.

    One item of each is decoded ahead. So a badly interleaved file needs no more memory than another.
    """

    def __init__(self, recording: Recording, counters: Mapping[Modality, Counters], coded: CameraDecoder) -> None:
        self._recording = recording
        self._counters = counters
        self._coded = coded
        self._files: list[FilePackets] = []
        self._problems: list[str] = []

    @property
    def length_ns(self) -> int:
        """Return the length of the file, once all items have been read."""
        return max((file.length_ns for file in self._files), default=0)

    def items(self, *, rests: bool) -> Iterator[TimedItemOrRest]:
        """Yield all items in the order of their end, with a rest after each picture if `rests` is set.

        Raises RecordingError when the file has neither picture nor sound that is used, and at its end if it is damaged.
        """
        recording = self._recording
        parts: list[Iterator[TimedItemOrRest]] = [_timed_lines(recording.lines)]
        file = self._open()
        if recording.picture and file.video:
            frames = self._ascending("image", self._frames(file, file.video, recording.picture))
            parts.append(_with_rests(frames, file.video) if rests else frames)
            file = self._open()
        elif recording.picture and "video" in file.without_decoder:
            self._problems.append("FFmpeg has no decoder for its pictures")
        if recording.sample_rate_hz and file.audio:
            parts.append(self._ascending("audio", self._blocks(file, file.audio, recording.sample_rate_hz)))
        elif recording.sample_rate_hz and "audio" in file.without_decoder:
            self._problems.append("FFmpeg has no decoder for its sound")
        if len(parts) == 1 and not recording.lines:
            hint = "" if file.audio is None or recording.sample_rate_hz else f"; {UNUSED_SOUND}"
            raise RecordingError(f"{recording.path}: contains neither a picture nor sound that is used{hint}")
        yield from heapq.merge(*parts, key=lambda item: item[:2])
        if len(parts) == 1:
            deque(file, maxlen=0)  # for its length
        for problem in (*(file.problem for file in self._files), *self._problems):
            if problem:
                raise RecordingError(f"{recording.path}: {problem}")

    def close(self) -> None:
        """Close the file."""
        for file in self._files:
            file.close()

    def _open(self) -> FilePackets:
        file = FilePackets(self._recording.path)
        self._files.append(file)
        return file

    def _frames(self, file: FilePackets, video: av.VideoStream, picture: PicturePreparation) -> Iterator[TimedItem]:
        self._coded.begin(video.codec_context)
        rate = FrameRate(self._recording.fps)
        times = PictureTimes()
        for decoded in self._decode(file, video.index, av.VideoFrame):
            at_ns = times.best_ns(pts_ns(decoded), ticks_ns(decoded.dts, decoded.time_base))
            if at_ns is None or decoded.is_corrupt:
                self._counters["image"].drop("no_time" if at_ns is None else "corrupt")
                continue
            at_ns -= file.start_ns
            if rate.takes(at_ns):
                yield at_ns, IMAGE, picture.prepare(to_frame(decoded, at_ns))
            else:
                self._counters["image"].left_out += 1

    def _blocks(self, file: FilePackets, audio: av.AudioStream, sample_rate_hz: int) -> Iterator[TimedItem]:
        cutter = BlockCutter(sample_rate_hz)
        for decoded in self._decode(file, audio.index, av.AudioFrame):
            at_ns = pts_ns(decoded)
            if at_ns is None:
                self._counters["audio"].drop("no_time")
                continue
            samples = to_samples(decoded, self._recording.channel)
            yield from _timed_blocks(cutter.push(samples, decoded.sample_rate, at_ns - file.start_ns))
        yield from _timed_blocks(cutter.end_run())

    def _decode(self, file: FilePackets, index: int, kind: type[Decoded]) -> Iterator[Decoded]:
        """Decode one stream, and drop packets that are damaged."""
        modality: Modality = "image" if kind is av.VideoFrame else "audio"
        damaged, has_decoded = 0, False
        for packet in file:
            if packet.stream.index != index:
                continue
            try:
                decoded = self._coded.decode(packet) if modality == "image" else packet.decode()
                items = [item for item in decoded if isinstance(item, kind)]
            except av.FFmpegError:
                self._counters[modality].drop("corrupt")
                damaged += 1
                continue
            has_decoded = has_decoded or bool(items)
            yield from items
        if damaged and not has_decoded:
            self._problems.append(f"none of its {damaged} packets of {modality} can be decoded")

    def _ascending(self, modality: Modality, items: Iterator[TimedItem]) -> Iterator[TimedItem]:
        """Yield the items, and drop each that ends before an earlier one."""
        last_ns = -1
        for item in items:
            if item[0] < max(0, last_ns):
                self._counters[modality].drop("out_of_order")
                continue
            last_ns = item[0]
            yield item


def _wait(until_ns: int, stop: Event) -> None:
    """Wait until `until_ns`, or until stopped: at most SHORT_WAIT_S longer."""
    wait_s = (until_ns - monotonic_ns()) / NS_PER_S
    if wait_s > SHORT_WAIT_S:
        stop.wait(wait_s)
    elif wait_s > 0:
        time.sleep(wait_s)


def gathered(items: Iterator[TimedItemOrRest]) -> Iterator[tuple[int, list[TimedItemOrRest]]]:
    """Yield all items in their order, in groups: sound, and what ends next. Each group has the time of its last end."""
    group: list[TimedItemOrRest] = []
    for timed in items:
        group.append(timed)
        end_ns, kind, _ = timed
        if kind != AUDIO or end_ns - group[0][0] >= TOGETHER_NS:
            yield end_ns, group
            group = []
    if group:
        yield group[-1][0], group


def _with_rests(frames: Iterator[TimedItem], video: av.VideoStream) -> Iterator[TimedItemOrRest]:
    """Yield a rest after each frame: most of the shortest interval between two frames.

    After a rest there is time to read the next frame, even if that takes twice as long as this frame took.
    """
    # A camera would not have sent the next picture while this one is encoded. To decode it then takes processor time
    # from the encoders: with one of two cores it delays every picture by 1 ms (`scripts/bench pipeline`).
    shortest_ns = round(NS_PER_S / video.base_rate) if video.base_rate else 0  # a guess of FFmpeg for the first frame
    before_ns: int | None = None
    began_ns = monotonic_ns()
    for frame in frames:
        at_ns, read_ns = frame[0], monotonic_ns() - began_ns
        yield frame
        if before_ns is not None:
            shortest_ns = min(shortest_ns, at_ns - before_ns)
        yield at_ns + max(0, min(shortest_ns * 3 // 4, shortest_ns - 2 * read_ns)), REST, None
        before_ns, began_ns = at_ns, monotonic_ns()


def _timed_blocks(blocks: list[Block]) -> Iterator[TimedItem]:
    return ((block.end_ns, AUDIO, block) for block in blocks)


def _timed_lines(lines: tuple[Line, ...]) -> Iterator[TimedItem]:
    return ((line.captured_ns, TEXT, line) for line in lines)

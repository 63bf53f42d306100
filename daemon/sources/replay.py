"""Plays a file as if it were a camera with a microphone and a text inlet: in real time, or as fast as possible."""

import heapq
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TypeVar

import av
from av.container import InputContainer

from daemon.core.errors import SourceError
from daemon.core.ports import Deliver
from daemon.core.records import Block, Captured, Counters, Line, Modality, moved
from daemon.core.timing import NS_PER_S, FrameRate, monotonic_ns
from daemon.sources.container import failure, open_container, pts_ns, to_frame, to_samples, use_one_thread
from daemon.sources.picture import PicturePreparation
from daemon.sources.stamping import BlockCutter

Dated = tuple[int, int, Captured]
"""When an item has ended, its place among those that end together, and the item: from the file's start on."""

Step = Dated | tuple[int, int, None]
"""An item, or that nothing is read before then."""

Decoded = TypeVar("Decoded", av.VideoFrame, av.AudioFrame)

IMAGE, AUDIO, TEXT, REST = range(4)

CUT_OFF_NS = 2 * NS_PER_S
"""A file whose last packet lies so far before the end it declares has lost the rest."""

BRIEF_S = 0.05
"""Up to here it is slept, which costs half the processor time of waiting for an Event: 70 us of 130."""

FILES_ONLY = {"protocol_whitelist": "file"}
"""A playlist in a file reaches no network."""


@dataclass(frozen=True)
class Recording:
    """What is played: a file, timed lines, its sound at a rate (None: no sound), its picture (None: no picture)."""

    path: Path
    lines: tuple[Line, ...] = ()
    sample_rate_hz: int | None = None
    channel: int = 0
    picture: PicturePreparation | None = None
    fps: float | None = None


@dataclass
class ReplaySource:
    """Plays a recording, once or in a loop, in real time or as fast as `deliver` takes it.

    Stamps are the start of the pass plus the time in the file. Items come in the order of their end; those that end
    together as image, audio, text. In real time each comes when its end has come, on a schedule that does not drift.
    """

    recording: Recording
    loop: bool
    is_realtime: bool
    counters: Mapping[Modality, Counters]
    drift_ppm: float | None = field(default=None, init=False)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Play until the end or until stopped. Raises SourceError when the file is missing or broken."""
        base_ns = monotonic_ns()
        while not stop.is_set():
            length_ns = self._play(base_ns, deliver, stop)
            if not self.loop:
                return
            base_ns += length_ns

    def _play(self, base_ns: int, deliver: Deliver, stop: Event) -> int:
        """One pass; gives its length."""
        length_ns = 0
        reader = _Reader(self.recording, self.counters)
        try:
            picture_ns = 0
            for end_ns, kind, item in reader.steps(rests=self.is_realtime):
                # a wait costs 0.1 ms: where something came in the second half of a rest, the rest is over
                is_over = kind == REST and 2 * length_ns >= picture_ns + end_ns
                if self.is_realtime and not is_over:
                    _wait(base_ns + end_ns, stop)
                if stop.is_set():
                    break
                if item is not None:
                    deliver(moved(item, base_ns))
                    length_ns = end_ns
                if kind == IMAGE:
                    picture_ns = end_ns
        finally:
            reader.close()
        length_ns = max(length_ns, reader.length_ns)
        if self.loop and length_ns == 0:
            raise SourceError(f"{self.recording.path}: holds nothing to play in a loop")
        if self.is_realtime:
            _wait(base_ns + length_ns, stop)
        return length_ns


class _Reader:
    """Reads picture and sound of a file side by side, each through a container of its own.

    So a file that is badly interleaved needs no more memory than any other: one item of each is decoded ahead.
    """

    def __init__(self, recording: Recording, counters: Mapping[Modality, Counters]) -> None:
        self._recording = recording
        self._counters = counters
        self._containers: list[InputContainer] = []
        self.length_ns = 0

    def steps(self, *, rests: bool) -> Iterator[Step]:
        """Everything in the file in the order of its end; with a rest after each picture where that is wanted."""
        recording = self._recording
        parts: list[Iterator[Step]] = [_dated_lines(recording.lines)]
        container = self._open()
        if recording.picture and container.streams.video:
            frames = self._ascending("image", self._frames(container, recording.picture))
            parts.append(_with_rests(frames, container.streams.video[0]) if rests else frames)
            container = self._open()
        if recording.sample_rate_hz and container.streams.audio:
            parts.append(self._ascending("audio", self._blocks(container, recording.sample_rate_hz)))
        if len(parts) == 1 and not recording.lines:
            raise SourceError(f"{recording.path}: holds neither a picture nor sound that is wanted")
        return heapq.merge(*parts, key=lambda dated: dated[:2])

    def close(self) -> None:
        """Close the file."""
        for container in self._containers:
            container.close()

    def _open(self) -> InputContainer:
        path = str(self._recording.path)
        container = open_container(path, path, options=FILES_ONLY, timeout_s=None)
        self._containers.append(container)
        use_one_thread(container)
        self.length_ns = (container.duration or 0) * NS_PER_S // av.time_base
        return container

    def _frames(self, container: InputContainer, picture: PicturePreparation) -> Iterator[Dated]:
        start_ns = _start_ns(container)
        rate = FrameRate(self._recording.fps)
        for decoded in self._decode(container, container.streams.video[0].index, av.VideoFrame):
            at_ns = pts_ns(decoded)
            if at_ns is None or decoded.is_corrupt:
                self._drop("image", "no_time" if at_ns is None else "corrupt")
                continue
            at_ns -= start_ns
            if rate.takes(at_ns):
                yield at_ns, IMAGE, picture.prepare(to_frame(decoded, at_ns))

    def _blocks(self, container: InputContainer, sample_rate_hz: int) -> Iterator[Dated]:
        start_ns = _start_ns(container)
        cutter = BlockCutter(sample_rate_hz)
        for decoded in self._decode(container, container.streams.audio[0].index, av.AudioFrame):
            at_ns = pts_ns(decoded)
            if at_ns is None:
                self._drop("audio", "no_time")
                continue
            samples = to_samples(decoded, self._recording.channel)
            yield from _dated_blocks(cutter.push(samples, decoded.sample_rate, at_ns - start_ns))
        yield from _dated_blocks(cutter.end_run())

    def _decode(self, container: InputContainer, index: int, kind: type[Decoded]) -> Iterator[Decoded]:
        """What the packets of one stream hold. Raises SourceError where the file is broken or ends too soon."""
        path, last = str(self._recording.path), None
        try:
            for packet in container.demux():
                last = packet if packet.pts is not None else last
                if packet.stream.index == index:
                    yield from (decoded for decoded in packet.decode() if isinstance(decoded, kind))
        except (av.FFmpegError, OSError) as error:
            raise failure(path, "cannot be read on", error) from error
        seen_ns = ((pts_ns(last) if last else None) or 0) - _start_ns(container)
        if self.length_ns - seen_ns > CUT_OFF_NS:
            seen, declared = seen_ns / NS_PER_S, self.length_ns / NS_PER_S
            raise SourceError(f"{path}: is cut off: it ends at {seen:.1f} s of {declared:.1f} s")

    def _ascending(self, modality: Modality, items: Iterator[Dated]) -> Iterator[Dated]:
        """The items without those whose time has gone back."""
        last_ns = -1
        for item in items:
            if item[0] < max(0, last_ns):
                self._drop(modality, "out_of_order")
                continue
            last_ns = item[0]
            yield item

    def _drop(self, modality: Modality, reason: str) -> None:
        self._counters[modality].drop(reason)


def _start_ns(container: InputContainer) -> int:
    """Where the file's own time begins."""
    return (container.start_time or 0) * NS_PER_S // av.time_base


def _wait(until_ns: int, stop: Event) -> None:
    """Wait until then or until stopped, which is noticed within BRIEF_S."""
    left_s = max(0, until_ns - monotonic_ns()) / NS_PER_S
    if left_s <= BRIEF_S:
        time.sleep(left_s)
    else:
        stop.wait(left_s)


def _with_rests(frames: Iterator[Dated], video: av.VideoStream) -> Iterator[Step]:
    """After each frame a rest before the next is read: most of the least time from one picture to another.

    A camera has not sent its next picture while this one is encoded. To decode it then would take the processor, or its
    caches, from who encodes: with one of two cores it made every picture 1 ms later (`scripts/bench pipeline`). Twice
    the time that this one took to be read is left for the next.
    """
    least_ns = round(NS_PER_S / video.base_rate) if video.base_rate else 0  # FFmpeg's guess, wrong at worst for once
    before_ns: int | None = None
    asked_ns = monotonic_ns()
    for frame in frames:
        at_ns, read_ns = frame[0], monotonic_ns() - asked_ns
        yield frame
        if before_ns is not None:
            least_ns = min(least_ns, at_ns - before_ns)
        yield at_ns + max(0, min(least_ns * 3 // 4, least_ns - 2 * read_ns)), REST, None
        before_ns, asked_ns = at_ns, monotonic_ns()


def _dated_blocks(blocks: list[Block]) -> Iterator[Dated]:
    return ((block.end_ns, AUDIO, block) for block in blocks)


def _dated_lines(lines: tuple[Line, ...]) -> Iterator[Dated]:
    return ((line.captured_ns, TEXT, line) for line in lines)

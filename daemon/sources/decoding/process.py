"""The process of a hardware decoder, seen from the daemon: every answer has a deadline."""

import dataclasses
import errno
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction

import av
import numpy as np

from daemon.core.errors import ChildError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.child import Child
from daemon.runtime.shared_memory import close_with, event_counter, read_only_memory, shared_memory
from daemon.sources.container import Packet
from daemon.sources.decoding.decoder_main import serve
from daemon.sources.decoding.layout import (
    CORRUPT,
    DAMAGED,
    DECODE,
    FINISH,
    FORMATS,
    HEADER_BYTES,
    MAX_PACKET_BYTES,
    MAX_PICTURE_BYTES,
    NEXT,
    NOTHING,
    PICTURE,
    Answer,
    Request,
)
from daemon.sources.decoding.ways import Way

# A slow card takes seconds to read PyAV. Meanwhile the software decodes.
START_S = 30.0

# Decoding takes milliseconds.
DECODE_S = 2.0

# V4L2 has 16 buffers for packets. A decoder that has taken so many, and gives no picture, gives none at all.
MAX_WITHOUT_PICTURE = 24

# Of packets whose pictures have not come yet.
MAX_TIMES = 4 * MAX_WITHOUT_PICTURE

# No decoder has more pictures left than it has buffers.
MAX_LEFT = 64

Times = tuple[int | None, Fraction | None]


class DecoderProcess:
    """Implements `Hardware`: one process that decodes the packets of one camera. Used by one thread at a time.

    It ends with the thread that makes this object. `corrupt` counts pictures that were damaged, and left out.
    Raises ChildError when no process can be started.
    """

    def __init__(self, codec: str, way: Way, extradata: bytes | None, answer_s: float = DECODE_S) -> None:
        self._answer_s = answer_s
        self.corrupt = 0
        self._number = 0
        self._since_picture = 0
        self._times: dict[int, Times] = {}
        self._started_ns = monotonic_ns()
        with ExitStack() as stack:
            packets, self._packets = read_only_memory(HEADER_BYTES + MAX_PACKET_BYTES)
            close_with(stack, packets)
            try:
                pictures = close_with(stack, shared_memory(HEADER_BYTES + MAX_PICTURE_BYTES))
                self._pictures = memoryview(mmap.mmap(pictures, 0))
                self._requested, self._completed = (close_with(stack, event_counter()) for _ in range(2))
            except OSError as error:
                raise ChildError(f"no memory could be shared: {error}") from error
            request = {
                "codec": codec,
                "way": dataclasses.asdict(way),
                "extradata": (extradata or b"").hex(),
                "packets": packets,
                "pictures": pictures,
                "requested": self._requested,
                "completed": self._completed,
            }
            inherits = (packets, pictures, self._requested, self._completed)
            self._child = stack.enter_context(Child(serve, json.dumps(request), inherits=inherits))
            self._resources = stack.pop_all()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    def is_ready(self, timeout_s: float = 0.0) -> bool:
        """Return whether it has passed the check. Raises ChildError when it has not, or not within START_S."""
        if self._child.wait_for(self._completed, timeout_s):
            self._take_completion()
            return True
        if monotonic_ns() - self._started_ns > START_S * NS_PER_S:
            raise ChildError(f"has not decoded a clip within {START_S:g} s")
        return False

    def decode(self, packet: Packet) -> list[av.VideoFrame]:
        """Return the pictures that are ready. Raises av.FFmpegError for a damaged packet, ChildError for a fault."""
        if self._since_picture > MAX_WITHOUT_PICTURE:
            raise ChildError(f"gives no picture for {self._since_picture} packets")
        data = bytes(packet)
        if len(data) > MAX_PACKET_BYTES:
            raise ChildError(f"a packet of {len(data)} bytes is too long")
        self._number += 1
        self._times[self._number] = packet.pts, packet.time_base
        while len(self._times) > MAX_TIMES:
            del self._times[next(iter(self._times))]
        self._packets[HEADER_BYTES : HEADER_BYTES + len(data)] = data
        request = Request(DECODE, len(data), self._number, bool(packet.is_keyframe))
        self._since_picture += 1
        pictures = list(self._answers(request, packet.dts))
        if pictures:
            self._since_picture = 0
        return pictures

    def finish(self) -> list[av.VideoFrame]:
        """Return the pictures that are left. Raises ChildError for a fault."""
        return list(self._answers(Request(FINISH), None))

    def close(self) -> None:
        """Kill the process."""
        self._resources.close()

    def _answers(self, request: Request, dts: int | None) -> Iterator[av.VideoFrame]:
        for _ in range(MAX_LEFT):
            answer = self._ask(request)
            if answer.kind == NOTHING:
                return
            if answer.kind == DAMAGED:
                raise av.InvalidDataError(errno.EINVAL, "a picture cannot be decoded")
            request = Request(NEXT)
            if answer.kind == CORRUPT:
                self.corrupt += 1
                continue
            if answer.kind != PICTURE or not answer.is_valid:
                raise ChildError("its process sends what is no picture")
            yield self._picture(answer, dts)
        raise ChildError(f"gives more than {MAX_LEFT} pictures at once")

    def _ask(self, request: Request) -> Answer:
        header = request.packed()
        self._packets[: len(header)] = header
        try:
            os.eventfd_write(self._requested, 1)
        except BlockingIOError as error:  # only after the process itself has filled the counter
            raise ChildError("its process misuses the shared counters") from error
        if not self._child.wait_for(self._completed, self._answer_s):
            raise ChildError(f"gave no answer within {self._answer_s:g} s")
        self._take_completion()
        return Answer.unpacked(self._pictures)

    def _take_completion(self) -> None:
        try:
            os.eventfd_read(self._completed)
        except BlockingIOError as error:  # only after the process itself has emptied the counter
            raise ChildError("its process misuses the shared counters") from error

    def _picture(self, answer: Answer, dts: int | None) -> av.VideoFrame:
        """Return a copy of the picture in the shared memory, with the times of its packet."""
        size = answer.width * answer.height * 3 // 2
        pixels = np.frombuffer(self._pictures, np.uint8, size, HEADER_BYTES)
        picture = av.VideoFrame.from_ndarray(
            pixels.reshape(answer.height * 3 // 2, answer.width), FORMATS[answer.format]
        )
        picture.colorspace, picture.color_range = answer.matrix, answer.range
        pts, time_base = self._times.pop(answer.number, (None, None))
        picture.pts, picture.dts = pts, dts
        if time_base is not None:
            picture.time_base = time_base
        return picture

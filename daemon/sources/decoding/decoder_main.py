"""The process of a hardware decoder: proves itself on a clip, and then decodes packet by packet until it is killed."""

import json
import mmap
import os
import select
from collections import deque
from typing import NoReturn

import av
import numpy as np

from daemon.runtime.child_main import Failed
from daemon.sources.decoding.clip import check_decoder
from daemon.sources.decoding.context import HardwareContext
from daemon.sources.decoding.layout import (
    CORRUPT,
    DAMAGED,
    DECODE,
    FINISH,
    FORMATS,
    HEADER_BYTES,
    MAX_PIXELS,
    NOTHING,
    PICTURE,
    Answer,
    Request,
)
from daemon.sources.decoding.ways import Way


def serve(request: str) -> NoReturn:
    """Check the decoder, report that, and decode. Raises Failed when it does not work.

    `request` is a JSON object:

    - `codec`, `way`, `extradata`: what to open.
    - `packets`, `pictures`: descriptors of shared memory, which this process reads and writes.
    - `requested`: an eventfd. The parent writes 1 when there is a request.
    - `completed`: an eventfd. This process writes 1 when the decoder has passed the check, and after every answer.
    """
    parts = json.loads(request)
    way = Way(**parts["way"])
    packets = memoryview(mmap.mmap(parts["packets"], 0, access=mmap.ACCESS_READ))
    pictures = memoryview(mmap.mmap(parts["pictures"], 0))
    check_decoder(parts["codec"], way)
    service = _Service(HardwareContext(parts["codec"], way, bytes.fromhex(parts["extradata"]) or None), pictures)
    requested, completed = parts["requested"], parts["completed"]
    poll = select.poll()
    poll.register(requested, select.POLLIN)
    while True:
        os.eventfd_write(completed, 1)
        poll.poll()
        os.eventfd_read(requested)
        service.answer(packets)


class _Service:
    """Answers requests. Pictures that are ready wait until they are asked for."""

    def __init__(self, context: HardwareContext, pictures: memoryview) -> None:
        self._context = context
        self._memory = pictures
        self._ready: deque[tuple[int, av.VideoFrame]] = deque()

    def answer(self, packets: memoryview) -> None:
        request = Request.unpacked(packets)
        try:
            if request.kind == DECODE:
                data = bytes(packets[HEADER_BYTES : HEADER_BYTES + request.size])
                self._ready += self._context.decode(data, request.number, is_key=request.is_key)
            elif request.kind == FINISH:
                self._ready += self._context.finish()
        except av.FFmpegError:
            self._write(Answer(DAMAGED))
            return
        if not self._ready:
            self._write(Answer(NOTHING))
            return
        number, picture = self._ready.popleft()
        if picture.is_corrupt:
            self._write(Answer(CORRUPT))
        else:
            self._send(number, picture)

    def _send(self, number: int, picture: av.VideoFrame) -> None:
        if picture.width * picture.height > MAX_PIXELS or picture.width % 2 or picture.height % 2:
            raise Failed(f"pictures of {picture.width}x{picture.height} are not decoded in hardware")
        pixels = np.ascontiguousarray(picture.to_ndarray(), np.uint8).reshape(-1)
        self._memory[HEADER_BYTES : HEADER_BYTES + pixels.nbytes] = pixels.data
        self._write(
            Answer(
                PICTURE,
                number,
                picture.width,
                picture.height,
                FORMATS.index(picture.format.name),
                picture.colorspace,
                picture.color_range,
            )
        )

    def _write(self, answer: Answer) -> None:
        header = answer.packed()
        self._memory[: len(header)] = header

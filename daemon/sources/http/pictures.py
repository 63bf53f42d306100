"""Reads the pictures out of the responses of an HTTP camera, and decodes those that are used."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from daemon.core.errors import InputError
from daemon.core.media import MediaPacket, PacketSink
from daemon.core.records import Counters, Frame, Modality
from daemon.core.timing import FrameRate, monotonic_ns
from daemon.sources.container import to_frame
from daemon.sources.http.connection import NoAnswer
from daemon.sources.http.content import Content
from daemon.sources.http.decoder import PictureDecoder
from daemon.sources.http.jpeg import MAX_PICTURE_BYTES, START, JpegSplitter
from daemon.sources.http.session import HttpError, HttpResponse
from daemon.sources.media import jpeg_packet
from daemon.sources.picture import PicturePreparation


class HttpPictures:
    """Turns the content of responses into frames, each stamped when its last byte arrived.

    `packets` gets each JPEG that is decoded. Those that `fps` leaves out are not needed by the others.
    """

    def __init__(
        self,
        counters: Mapping[Modality, Counters],
        preparation: PicturePreparation,
        fps: float | None,
        packets: PacketSink | None = None,
    ) -> None:
        self._counters = counters
        self._preparation = preparation
        self._fps = fps
        self._packets = packets
        self._latest: MediaPacket | None = None
        self._decoder = PictureDecoder()

    def read(self, response: HttpResponse, head: bytes, content: Content) -> Iterator[Frame]:
        """Yield the pictures of one response, at most `fps` a second. `head` are its bytes that were read already.

        A response that declares the length of a single picture gives one.
        Raises what `HttpResponse.read` does.
        """
        if content == "picture":
            yield from self._read_file(response, head)
            return
        is_single = content == "jpeg" and response.length is not None and response.length <= MAX_PICTURE_BYTES
        rate = FrameRate(self._fps)
        for number, (data, arrived_ns) in enumerate(self._jpegs(response, head)):
            if number and is_single:
                continue
            if not rate.takes(arrived_ns):
                self._counters["image"].left_out += 1  # it costs no decoding
            elif frame := self._decode(data, arrived_ns):
                yield frame

    def repeat(self, frame: Frame) -> Frame:
        """Return the latest picture as one that is seen now, because the camera says that nothing has changed."""
        now_ns = monotonic_ns()
        if self._packets is not None and self._latest is not None:
            self._packets(replace(self._latest, pts_ns=now_ns, dts_ns=now_ns, captured_ns=now_ns))
        return replace(frame, captured_ns=now_ns)

    def _jpegs(self, response: HttpResponse, head: bytes) -> Iterator[tuple[bytes, int]]:
        splitter, counted = JpegSplitter(), 0
        chunk = head or response.read()
        while chunk:
            arrived_ns = monotonic_ns()
            for data in splitter.feed(chunk):
                yield data, arrived_ns
            self._drop(splitter.corrupt - counted)
            counted = splitter.corrupt
            try:
                chunk = response.read()
            except (OSError, NoAnswer, HttpError):
                splitter.end()
                self._drop(splitter.corrupt - counted)
                raise
        splitter.end()
        self._drop(splitter.corrupt - counted)

    def _read_file(self, response: HttpResponse, head: bytes) -> Iterator[Frame]:
        data = bytearray(head)
        while len(data) <= MAX_PICTURE_BYTES and (chunk := response.read()):
            data += chunk
        if response.is_cut or len(data) > MAX_PICTURE_BYTES:
            self._drop(1)
        elif frame := self._decode(bytes(data), monotonic_ns()):
            yield frame

    def _decode(self, data: bytes, arrived_ns: int) -> Frame | None:
        try:
            picture = self._decoder.decode(data)
        except InputError:
            self._drop(1)
            return None
        if self._packets is not None and data.startswith(START):
            known = self._latest.format if self._latest else None
            self._latest = jpeg_packet(data, picture.width, picture.height, arrived_ns, known)
            self._packets(self._latest)
        return self._preparation.prepare(to_frame(picture, arrived_ns))

    def _drop(self, count: int) -> None:
        if count:
            self._counters["image"].drop("corrupt", count)

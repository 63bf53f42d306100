"""Decodes the pictures of one camera: in software, and in hardware once that has proved itself."""

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import av

from daemon.core.errors import ChildError
from daemon.core.media import DecoderSetting, DecoderStatus
from daemon.core.records import Counters
from daemon.sources.container import Packet, is_turned
from daemon.sources.decoding.layout import FORMATS, MAX_PIXELS
from daemon.sources.decoding.process import DecoderProcess
from daemon.sources.decoding.ways import CODECS, Way, absence, ways_of

SOFTWARE = "software"

log = logging.getLogger(__name__)


class Hardware(Protocol):
    """A decoder that may fail at any call, by ChildError. Then it is closed. `corrupt` counts damaged pictures."""

    corrupt: int

    def is_ready(self) -> bool:
        """Return whether it has proved itself."""

    def decode(self, packet: Packet) -> list[av.VideoFrame]:
        """Return the pictures that are ready. Raises av.FFmpegError when the packet is damaged."""

    def finish(self) -> list[av.VideoFrame]:
        """Return the pictures that are left. What follows begins anew."""

    def close(self) -> None:
        """End it."""


class Start(Protocol):
    """Starts a decoder of the hardware, and says before that what speaks against it."""

    def absence(self, codec: str, way: Way) -> str | None:
        """Return why there is no such decoder here."""

    def start(self, codec: str, way: Way, extradata: bytes | None) -> Hardware:
        """Return one that starts. Raises ChildError."""


class StartProcess:
    """Implements `Start`: each decoder has a process of its own."""

    def absence(self, codec: str, way: Way) -> str | None:
        """Return why there is no such decoder here."""
        return absence(codec, way)

    def start(self, codec: str, way: Way, extradata: bytes | None) -> Hardware:
        """Return one that starts. Raises ChildError."""
        return DecoderProcess(codec, way, extradata)


class Problems:
    """Why the hardware does not decode a codec in a way. All cameras share what one has found out, until the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], str] = {}

    def add(self, codec: str, way: Way, problem: str) -> None:
        """Remember a problem."""
        with self._lock:
            self._found[codec, way.name] = problem

    def of(self, codec: str) -> Mapping[str, str]:
        """Return the problems of a codec by the name of the way."""
        with self._lock:
            return {name: problem for (of, name), problem in self._found.items() if of == codec}


# of this process, since its start
known_problems = Problems()


class CameraDecoder:
    """Decodes packets like FFmpeg's software decoder. Used by the thread of the camera.

    A stream begins in software. At its first key packet a process is started, which decodes a clip in hardware. At a
    later key packet the hardware takes over. If it fails or hangs, the software goes on, for this camera for good.
    `counters` gets the pictures that are lost then, up to the next key packet.
    """

    def __init__(
        self,
        setting: DecoderSetting,
        counters: Counters | None,
        start: Start | None = None,
        problems: Problems = known_problems,
    ) -> None:
        self._ways = ways_of(setting)
        self._counters = counters
        self._start = start or StartProcess()
        self._problems = problems
        self._context: av.VideoCodecContext | None = None
        self._codec = ""
        self._hardware: Hardware | None = None
        self._way: Way | None = None
        self._made_for: tuple[str, bytes | None] | None = None
        self._has_proved = False
        self._is_in_use = False
        # packets that the hardware has taken, and whose pictures have not come yet
        self._owed = 0
        self._is_lost = False
        self._is_fit: bool | None = None
        self._failure: str | None = None
        self.status: DecoderStatus | None = None

    def begin(self, context: av.VideoCodecContext) -> None:
        """Decode a new stream, or one with other parameters, by this context of FFmpeg's software decoder."""
        self._context, self._codec = context, context.codec.canonical_name
        if self._made_for != (self._codec, context.extradata):
            self.close()
        self._is_in_use = self._is_lost = False
        self._is_fit = None
        failures = 0 if self.status is None else self.status.failures
        self.status = DecoderStatus(SOFTWARE, self._codec, failures, self._reason())

    def decode(self, packet: Packet) -> list[av.VideoFrame]:
        """Return the pictures that are ready. Raises av.FFmpegError when the packet is damaged.

        A packet without data is the end of the stream, but for pictures that a splice brings late.
        """
        if not packet.size and self._is_in_use:
            return self.finish()
        before = self._change_at_key() if self._ways and packet.is_keyframe else []
        if self._is_in_use and self._hardware is not None:
            corrupt = self._hardware.corrupt
            try:
                pictures = self._hardware.decode(packet)
                damaged = self._hardware.corrupt - corrupt
                self._drop("corrupt", damaged)
                self._owed += 1 - len(pictures) - damaged
                return before + pictures
            except ChildError as error:
                self._fall_back(str(error))
        return before + self._decode_in_software(packet)

    def finish(self) -> list[av.VideoFrame]:
        """Return the pictures that are left at the end of the stream."""
        if self._is_in_use and self._hardware is not None:
            try:
                return self._hardware.finish()
            except ChildError as error:
                self._fall_back(str(error))
                return []
        return [] if self._context is None else self._context.decode(None)

    def close(self) -> None:
        """End the process of the hardware's decoder."""
        if self._hardware is not None:
            self._hardware.close()
        self._hardware, self._made_for = None, None
        self._has_proved = self._is_in_use = False

    def _decode_in_software(self, packet: Packet) -> list[av.VideoFrame]:
        if self._context is None:
            return []
        if self._is_lost and not packet.is_keyframe:
            # it refers to a picture that only the hardware had
            self._drop("decoder", 1)
            return []
        self._is_lost = False
        pictures = self._context.decode(packet)
        if self._ways and self._is_fit is None and pictures:
            self._is_fit = _is_fit(pictures[0])
            if not self._is_fit:
                self._report("its pictures are turned, or of a format or size that is decoded in software alone")
        return pictures

    def _drop(self, reason: str, count: int) -> None:
        if self._counters is not None and count:
            self._counters.drop(reason, count)

    def _change_at_key(self) -> list[av.VideoFrame]:
        """Start the hardware, or let it take over. Return the pictures that the software still had."""
        if self._is_in_use or not self._is_fit or self._failure is not None or self._context is None:
            return []
        try:
            if self._hardware is None:
                self._begin_next_way(self._context)
            elif self._has_proved or self._hardware.is_ready():
                return self._take_over(self._context, self._hardware)
        except ChildError as error:
            if self._way is not None:
                self._problems.add(self._codec, self._way, str(error))
            self.close()
            self._report(self._reason())
        return []

    def _begin_next_way(self, context: av.VideoCodecContext) -> None:
        """Start the first way that may work. Raises ChildError."""
        known = self._problems.of(self._codec)
        for way in self._ways if self._codec in CODECS else ():
            if way.name in known:
                continue
            self._way = way
            problem = self._start.absence(self._codec, way)
            if problem is not None:
                raise ChildError(problem)
            self._hardware = self._start.start(self._codec, way, context.extradata)
            self._made_for = self._codec, context.extradata
            return

    def _take_over(self, context: av.VideoCodecContext, hardware: Hardware) -> list[av.VideoFrame]:
        if self._has_proved:
            hardware.finish()  # what is left of the stream before
        pictures: list[av.VideoFrame] = []
        with suppress(av.FFmpegError):
            pictures = context.decode(None)
        context.flush_buffers()  # the software begins anew where the hardware fails
        self._has_proved = self._is_in_use = True
        self._owed = 0
        if self.status is not None and self._way is not None:
            self.status = replace(self.status, name=self._way.name, reason=None)
            log.info("pictures of %s are decoded by %s", self._codec, self._way.name)
        return pictures

    def _fall_back(self, problem: str) -> None:
        self._failure = f"{'' if self._way is None else self._way.name} failed: {problem}"
        self.close()
        self._drop("decoder", max(0, self._owed))
        self._is_lost = True
        if self.status is not None:
            self.status = replace(self.status, failures=self.status.failures + 1)
        self._report(self._failure)

    def _reason(self) -> str | None:
        """Return why the hardware does not decode this codec, as far as that is known."""
        if not self._ways:
            return None
        if self._failure is not None:
            return self._failure
        if self._codec not in CODECS:
            return f"{self._codec} is decoded in software alone"
        known = self._problems.of(self._codec)
        texts = [f"{way.name}: {known[way.name]}" for way in self._ways if way.name in known]
        return "; ".join(texts) or None

    def _report(self, reason: str | None) -> None:
        if self.status is not None and reason != self.status.reason:
            log.warning("pictures of %s are decoded in software: %s", self._codec, reason)
        if self.status is not None:
            self.status = replace(self.status, name=SOFTWARE, reason=reason)


def _is_fit(picture: av.VideoFrame) -> bool:
    """Return whether the hardware may decode such pictures, and nothing that the stream says of them gets lost."""
    is_even = picture.width % 2 == 0 and picture.height % 2 == 0
    is_small = picture.width * picture.height <= MAX_PIXELS
    return is_even and is_small and picture.format.name in FORMATS and not is_turned(picture)

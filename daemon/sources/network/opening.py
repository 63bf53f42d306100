"""Opens a network stream with FFmpeg: its transport, its time limits, and the messages where it fails."""

import errno
import logging
from collections import deque
from collections.abc import Sequence
from typing import Literal, cast
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from daemon.core.errors import SourceError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.container import NO_ANSWER, failure, reason_of

Transport = Literal["tcp", "udp"]

# The longest wait for the first picture, once the camera has answered. FFmpeg returns a picture of H.264 when the next
# one begins, and over MPEG-TS when the one after that begins. So a camera with a picture every 5 s needs 15 s.
FIRST_PICTURE_S = 20.0

# Opens with the first picture. Without these, FFmpeg guesses the frame rate and the first times from many pictures.
QUICK_START = {"fpsprobesize": "0", "analyzeduration": "200000", "max_ts_probe": "0"}

# Times from RTP are unwrapped already. FFmpeg would take a clock that is set back for a wrap. Picture and sound wrap at
# different times, so their times would then differ by hours.
RTSP = {**QUICK_START, "correct_ts_overflow": "0"}
HTTP = {**QUICK_START, "probesize": "32768"}

# How FFmpeg reports a camera that does not accept a transport: it answers with 461 or with another error of its own.
REFUSALS = (av.HTTPBadRequestError, av.HTTPOtherClientError)

# How FFmpeg reports a camera that answers with the ports of the other transport. It reports a lost connection likewise.
UNCLEAR_ANSWER = av.InvalidDataError

log = logging.getLogger(__name__)


class TimeLimit:
    """A time limit for PyAV that differs between the first step and the steps after it.

    PyAV converts a limit to a float when a step begins: connecting, looking for the streams, and every `demux`.
    """

    def __init__(self, first_s: float, later_s: float) -> None:
        self._limits_s = (first_s, later_s)
        self._began_ns = 0
        self.steps = 0

    def __float__(self) -> float:
        self.steps += 1
        self._began_ns = monotonic_ns()
        return self._limit_s

    @property
    def is_exceeded(self) -> bool:
        """Whether the latest step has taken as long as it may."""
        return monotonic_ns() - self._began_ns >= self._limit_s * NS_PER_S

    @property
    def _limit_s(self) -> float:
        return self._limits_s[self.steps > 1]


def label_of(url: str) -> str:
    """Return scheme, host and port of the URL for messages, because path and query may contain a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class StreamOpener:
    """Opens one URL again and again, over the transport that worked last. Over HTTP there is one transport.

    `answer_s` is the limit for the camera's answer, and for each read of the second `demux`. `picture_s` is the limit
    for looking at the first picture, and for each read of the first `demux`. The larger of both counts.
    """

    def __init__(self, url: str, transports: Sequence[Transport], answer_s: float, picture_s: float) -> None:
        self._url = url
        self._label = label_of(url)
        is_rtsp = urlsplit(url).scheme.startswith("rtsp")
        # the first one is tried first
        self._transports = deque[Transport | None](transports if is_rtsp else [None])
        self._transport = self._transports[0]
        self._reported: set[str] = set()
        self._answer_s = answer_s
        self._picture_s = max(answer_s, picture_s)

    def open(self) -> InputContainer:
        """Return the opened stream. Raises SourceError, whose message names only scheme, host and port."""
        refusals: list[_TransportRefusedError] = []
        for transport in tuple(self._transports):
            self._transport = transport
            try:
                container = self._open(transport)
            except _TransportRefusedError as refusal:
                self._report(refusal)
                refusals.append(refusal)
                continue
            # after a lost connection the first transport is tried first again
            self._transports.rotate(-len(refusals) if all(refusal.is_clear for refusal in refusals) else 0)
            return container
        raise self._refused(refusals[-1])

    def nothing_came(self, waited_s: float) -> SourceError:
        """Return the error for a camera that sends nothing. After UDP, TCP is tried first again."""
        over = f" over {self._name}" if self._name else ""
        advice = "if it sends more rarely, set stall_after_s to three times the seconds between two pictures"
        if self._transport == "udp":
            advice = f"check that a firewall lets UDP from the camera pass; {advice}"
            if self._transports[0] == "udp":
                self._transports.rotate(-1)
        return SourceError(f"{self._label}: nothing came{over} in {waited_s:g} s; {advice}")

    def _refused(self, refusal: "_TransportRefusedError") -> SourceError:
        if not refusal.is_clear:
            return SourceError(f"{self._label}: cannot be opened: {refusal}")
        names = " and ".join(str(transport).upper() for transport in self._transports)
        hint = "" if len(self._transports) > 1 else "; camera.transport: auto tries the other transport too"
        return SourceError(f"{self._label}: does not accept {names}: {refusal}{hint}")

    def _report(self, refusal: "_TransportRefusedError") -> None:
        """Log once that a transport is refused, if another one is tried. The camera may be opened again for days."""
        if refusal.is_clear and self._name not in self._reported and len(self._transports) > 1:
            log.info("%s: does not accept %s: %s", self._label, self._name, refusal)
            self._reported.add(self._name)

    @property
    def _name(self) -> str:
        return (self._transport or "").upper()

    def _open(self, transport: Transport | None) -> InputContainer:
        """Open the stream over a transport. Raises SourceError or _TransportRefusedError."""
        options = {**RTSP, "rtsp_transport": transport} if transport else HTTP
        # over HTTP, connecting includes the wait for the first bytes of the stream
        limit = TimeLimit(self._answer_s if transport else self._picture_s, self._picture_s)
        try:
            limits = cast(tuple[float, float], (limit, TimeLimit(self._picture_s, self._answer_s)))
            container = av.open(self._url, options=options, timeout=limits, metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error, limit) from None
        if limit.is_exceeded:
            # FFmpeg has waited in vain, and returns the streams that the camera has announced
            container.close()
            raise self.nothing_came(self._picture_s)
        return container

    def _failure(self, error: Exception, limit: TimeLimit) -> Exception:
        is_connecting = limit.steps == 1 and self._name
        if limit.is_exceeded and is_connecting:
            return SourceError(f"{self._label}: cannot be opened: {NO_ANSWER}")
        if limit.is_exceeded:
            return self.nothing_came(self._picture_s)
        is_unsupported = isinstance(error, OSError) and error.errno == errno.EPROTONOSUPPORT
        is_clear = is_unsupported or isinstance(error, REFUSALS)
        if is_connecting and (is_clear or isinstance(error, UNCLEAR_ANSWER)):
            return _TransportRefusedError(reason_of(error), is_clear)
        return failure(self._label, "cannot be opened", error)


class _TransportRefusedError(Exception):
    """The camera does not accept the transport. If not `is_clear`, the connection may have been lost instead."""

    def __init__(self, message: str, is_clear: bool) -> None:
        super().__init__(message)
        self.is_clear = is_clear

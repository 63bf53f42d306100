"""The picture of one stream for those who look at it. It costs nothing while nobody does."""

import threading
from dataclasses import dataclass

import cv2

from daemon.core.errors import InputError
from daemon.core.records import Frame
from daemon.core.timing import NS_PER_S, Schedule, monotonic_ns, seconds_until, wall_time
from daemon.encoders.shrink import shrunk, to_bgr

# pictures a second at most, for all who look
RATE_HZ = 5.0

# A request makes the next pictures ready for the next requests: a slow phone asks this seldom.
WANTED_NS = 3 * NS_PER_S

# how long a request waits for a picture
WAIT_S = 2.0

QUALITY = 75


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as JPEG. `sequence` counts those of the stream."""

    sequence: int
    time: str
    width: int
    height: int
    jpeg: bytes


class Preview:
    """Makes JPEGs of the newest frames of one stream, after masks and region, while somebody asks. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._schedule = Schedule(RATE_HZ)
        self._wanted_until_ns = 0
        self._width = 0
        self._sequence = 0
        self._frame: Frame | None = None
        self._picture: Picture | None = None

    def offer(self, frame: Frame) -> None:
        """Take a small copy of a frame, if somebody wants one now. Called by one thread at a time."""
        if monotonic_ns() >= self._wanted_until_ns or not self._schedule.passes(frame.captured_ns):
            return
        try:
            # here, and not later: a decoder may reuse the planes
            small = shrunk(frame, (self._width, 1))
        except InputError:  # its encoder finds the same, and counts it
            return
        with self._changed:
            self._sequence += 1
            self._frame = small
            self._changed.notify_all()

    def forget(self) -> None:
        """Drop the latest picture: the camera is closed."""
        with self._changed:
            self._frame = self._picture = None
            self._changed.notify_all()

    def picture(self, after: int, width: int) -> Picture | None:
        """Return a picture with a higher number than `after`; None: none has come within two seconds.

        It is about as wide as the widest that anybody has asked for lately. Raises InputError when it cannot be made.
        """
        until_ns = monotonic_ns() + round(WAIT_S * NS_PER_S)
        with self._changed:
            now_ns = monotonic_ns()
            self._width = width if now_ns >= self._wanted_until_ns else max(width, self._width)
            self._wanted_until_ns = now_ns + WANTED_NS
            while self._frame is None or self._sequence <= after:
                if not self._changed.wait(seconds_until(until_ns)) and monotonic_ns() >= until_ns:
                    return None
        with self._encoding:  # one for all who wait
            return self._encoded()

    def _encoded(self) -> Picture | None:
        with self._changed:
            frame, sequence, made = self._frame, self._sequence, self._picture
        if frame is None:
            return None
        if made is None or made.sequence != sequence:
            made = _jpeg_of(frame, sequence)
        with self._changed:
            if self._frame is None:  # closed meanwhile
                return None
            self._picture = made
        return made


def _jpeg_of(frame: Frame, sequence: int) -> Picture:
    done, found = cv2.imencode(".jpg", to_bgr(frame), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise InputError("the picture cannot be made into a JPEG")
    width, height = frame.size
    return Picture(sequence, wall_time(frame.captured_ns - frame.delay_ns), width, height, found.tobytes())

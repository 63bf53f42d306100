"""A stream may look at a part of another stream's camera, which is decoded once for both."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from daemon.core.errors import SourceError
from daemon.core.media import DecoderStatus
from daemon.core.ports import Deliver
from daemon.core.records import Frame
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.picture import PicturePreparation

# How often a view looks whether its camera delivers.
CHECK_S = 0.25

# after a longer gap between two looks the whole program was suspended, and no camera could deliver
MAX_CHECK_GAP_NS = NS_PER_S


class Views:
    """Hands the pictures of one stream's camera to the streams that look at parts of them. Thread-safe.

    The pictures are masked and upright, and have no region yet. `is_closed`: the camera is closed on request.
    `trouble` says why it delivers nothing; None: it delivers, or is opened for the first time.
    """

    def __init__(self, stream: str, stall_after_s: float, opening_s: float) -> None:
        """`stream` has the camera. It delivers within `opening_s`, and then in each `stall_after_s`."""
        self.stream = stream
        self.stall_after_s, self.opening_s = stall_after_s, opening_s
        self.is_closed = False
        self.trouble: str | None = None
        self.has_ended = Event()
        self.latest_ns: int | None = None  # when the latest picture came
        self._takers: tuple[View, ...] = ()
        self._on_switch: tuple[Callable[[], None], ...] = ()
        self._lock = threading.Lock()

    def publish(self, frame: Frame) -> None:
        """Hand a picture to every view, unless the camera is to be closed.

        Called by one thread at a time; never blocks in live use.
        """
        if self.is_closed:
            return
        self.latest_ns = monotonic_ns()
        for taker in self._takers:
            taker.take(frame)

    def switch(self, is_closed: bool) -> None:
        """Note that the camera was closed or opened on request, and let the streams that look at it follow."""
        self.is_closed = is_closed
        for follow in self._on_switch:
            follow()

    def follow(self, on_switch: Callable[[], None]) -> None:
        """Call this at each switch from now on."""
        with self._lock:
            self._on_switch += (on_switch,)

    def enter(self, view: "View") -> None:
        """Hand pictures to a view from now on."""
        with self._lock:
            self._takers += (view,)

    def leave(self, view: "View") -> None:
        """Hand no more pictures to a view."""
        with self._lock:
            self._takers = tuple(each for each in self._takers if each is not view)


class View:
    """One opening of a view: delivers its part of each picture, on the camera's thread, until that fails."""

    def __init__(self, deliver: Deliver, picture: PicturePreparation) -> None:
        self.error: Exception | None = None
        self._deliver = deliver
        self._picture = picture

    def take(self, frame: Frame) -> None:
        """Deliver the part of a picture. A failure is that of this view, and not of the camera."""
        if self.error is None:
            try:
                self._deliver(self._picture.prepare(frame))
            except Exception as error:  # noqa: BLE001  (raised on the thread of the view)
                self.error = error


@dataclass
class ViewSource:
    """A part of another stream's camera. Implements Source."""

    views: Views
    picture: PicturePreparation
    drift_ppm: float | None = field(default=None, init=False)
    decoder: DecoderStatus | None = field(default=None, init=False)
    _reported: str | None = field(default=None, init=False)

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped, or until the camera has ended. Raises SourceError while the camera sends nothing."""
        view = View(deliver, self.picture)
        opened_ns = looked_ns = waits_from_ns = monotonic_ns()
        self.views.enter(view)
        try:
            while not stop.wait(CHECK_S):
                looked_ns, before_ns = monotonic_ns(), looked_ns
                if looked_ns - before_ns > MAX_CHECK_GAP_NS:
                    waits_from_ns = looked_ns
                if view.error is not None:
                    raise view.error
                if self.views.has_ended.is_set():
                    return
                self._check_delivers(opened_ns, waits_from_ns, looked_ns)
        finally:
            self.views.leave(view)

    def _check_delivers(self, opened_ns: int, waits_from_ns: int, now_ns: int) -> None:
        latest_ns, trouble = self.views.latest_ns or 0, self.views.trouble
        if latest_ns >= opened_ns:
            self._reported = None
        if trouble is not None and trouble != self._reported:
            self._reported = trouble
            raise SourceError(waits_for(self.views.stream, trouble))
        limit_s = self.views.stall_after_s if latest_ns >= opened_ns else self.views.opening_s
        if now_ns - max(latest_ns, waits_from_ns) >= limit_s * NS_PER_S:
            raise SourceError(waits_for(self.views.stream, f"no picture for {limit_s:g} s"))


def waits_for(stream: str, why: str) -> str:
    """Return what the health of a view says while it has no picture."""
    return f"waits for the camera of the stream {stream}: {why}"

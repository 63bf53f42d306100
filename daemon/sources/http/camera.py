"""A camera with an http or https URL: MJPEG, a still picture that is polled, or another stream."""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import urlsplit

import av

from daemon.core.errors import NothingUsed, SourceError
from daemon.core.media import DecoderStatus, PacketSink
from daemon.core.ports import Deliver, Source
from daemon.core.records import Counters, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.sources.container import NO_ANSWER, REFUSALS, failure
from daemon.sources.http.connection import NoAnswer, Stopped
from daemon.sources.http.content import HEAD_BYTES, Content, conditions_of, content_of
from daemon.sources.http.pictures import HttpPictures
from daemon.sources.http.session import HttpError, HttpResponse, HttpSession, NotHttp
from daemon.sources.network.opening import label_of
from daemon.sources.picture import PicturePreparation

# How often a still picture is asked for where `fps` is not set.
STILL_FPS = 1.0

# The longest wait for the first picture, once the camera has answered. The supervisor gives up a little later.
FIRST_PICTURE_S = 30.0

STATUS_REFUSALS = {
    401: REFUSALS[av.HTTPUnauthorizedError],
    403: REFUSALS[av.HTTPForbiddenError],
    404: REFUSALS[av.HTTPNotFoundError],
}

log = logging.getLogger(__name__)


def http_failure(label: str, step: str, error: Exception) -> SourceError:
    """Return the SourceError for an error of an HttpSession, without the URL, as `container.failure` does."""
    if isinstance(error, NoAnswer):
        hint = f"waited {error.waited_s:g} s; for a slower camera raise stall_after_s"
        return SourceError(f"{label}: {step}: {NO_ANSWER}: {hint}")
    if isinstance(error, HttpError):
        return SourceError(f"{label}: {step}: {error}")
    return failure(label, step, error)


class PollSchedule:
    """The times at which a still picture is asked for: at once until `begin`, then once in a period.

    A late answer does not move the times after it, and times that have passed are not caught up.
    """

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._due_ns: int | None = None

    def next_ns(self, now_ns: int) -> int:
        """Return when to send the next request, and advance the schedule."""
        if self._due_ns is None:
            return now_ns
        due_ns = self._due_ns if now_ns - self._due_ns < self._period_ns else now_ns
        self._due_ns = due_ns + self._period_ns
        return due_ns

    def begin(self, asked_ns: int) -> None:
        """Begin with the request that was sent at `asked_ns`, if the schedule has not begun."""
        if self._due_ns is None:
            self._due_ns = asked_ns + self._period_ns

    def end(self) -> None:
        """Send the next request at once."""
        self._due_ns = None


@dataclass
class HttpCamera:
    """Asks the URL what it gives, and delivers its pictures, stamped on arrival. One connection is open at a time.

    JPEG pictures that go on are read from the same response. A response that ends was a still picture, which is asked
    for again `fps` times a second. `playlist` plays HLS, and `other` whatever else FFmpeg knows. They open the URL
    anew, once the first connection is closed. `packets` gets the JPEG pictures as they came.
    """

    url: str = field(repr=False)
    counters: Mapping[Modality, Counters]
    picture: PicturePreparation | None
    wants_sound: bool
    fps: float | None
    read_timeout_s: float
    playlist: Source
    other: Source
    packets: PacketSink | None = None
    _reader: Source | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        # outlives a failure, so that a camera that fails is not asked more often
        self._schedule = PollSchedule(round(NS_PER_S / (self.fps or STILL_FPS)))

    @property
    def drift_ppm(self) -> float | None:
        """The drift of the stream's clock. None: not known yet, or pictures without times."""
        return self._reader.drift_ppm if self._reader else None

    @property
    def decoder(self) -> DecoderStatus | None:
        """What decodes the stream. None: not known yet, or single pictures."""
        return self._reader.decoder if self._reader else None

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until stopped. Raises SourceError when the camera does not answer, refuses, stalls or ends."""
        self._reader = None
        label = label_of(self.url)
        with closing(HttpSession(self.url, self.read_timeout_s, stop)) as session:
            reception = _Reception(self, session, label, deliver)
            try:
                self._reader = reception.receive(self._schedule, stop)
            except Stopped:
                return
            except (NoAnswer, HttpError, OSError, ValueError) as error:
                raise http_failure(label, reception.step, error) from None
        if self._reader is not None:
            self._reader.run(deliver, stop)


class _Reception:
    """The requests of one run, over one session. `step` names what fails where something fails now."""

    def __init__(self, camera: HttpCamera, session: HttpSession, label: str, deliver: Deliver) -> None:
        self.step = "cannot be opened"
        self._camera = camera
        self._session = session
        self._label = label
        self._deliver = deliver
        self._pictures: HttpPictures | None = None
        if camera.picture:
            self._pictures = HttpPictures(camera.counters, camera.picture, camera.fps, camera.packets)
        self._latest: Frame | None = None
        self._conditions: dict[str, str] = {}

    def receive(self, schedule: PollSchedule, stop: Event) -> Source | None:
        """Deliver pictures until stopped. Return the source that reads the URL if it gives no pictures."""
        while not stop.wait(seconds_until(schedule.next_ns(monotonic_ns()))):
            asked_ns = monotonic_ns()
            try:
                response = self._session.get(self._conditions)
            except NotHttp:
                return self._camera.other  # FFmpeg accepts more dialects
            if response.status == 304 and self._latest and self._pictures:
                self._deliver(self._pictures.repeat(self._latest))
                continue
            self._check(response)
            head = self._read_head(response)
            content = content_of(response.content_type, urlsplit(self._camera.url).path, head)
            if content in ("playlist", "other"):
                schedule.end()
                return self._camera.playlist if content == "playlist" else self._camera.other
            self._read_pictures(response, head, content)
            if content == "multipart":
                schedule.end()
                raise SourceError(f"{self._label}: the stream has ended")
            schedule.begin(asked_ns)
        return None

    def _check(self, response: HttpResponse) -> None:
        if message := STATUS_REFUSALS.get(response.status):
            raise SourceError(f"{self._label}: {message}")
        if response.status != 200:
            raise SourceError(f"{self._label}: {self.step}: the camera answers with status {response.status}")

    def _read_head(self, response: HttpResponse) -> bytes:
        """Return the first bytes, where the headers do not say enough."""
        head = b""
        if response.content_type.startswith("multipart/"):
            return head
        self._session.wait_up_to(max(FIRST_PICTURE_S, self._camera.read_timeout_s))
        while len(head) < HEAD_BYTES and (chunk := response.read()):
            head += chunk
        return head

    def _read_pictures(self, response: HttpResponse, head: bytes, content: Content) -> None:
        if self._pictures is None:
            raise NothingUsed(self._label, ["audio"])
        self._latest = None
        self._session.wait_up_to(max(FIRST_PICTURE_S, self._camera.read_timeout_s))
        for frame in self._pictures.read(response, head, content):
            if self._latest is None:
                self._note_first()
            self._latest = frame
            self._deliver(frame)
        # a picture that was not delivered must be sent again
        self._conditions = conditions_of(response.header) if self._latest else {}
        if not response.has_ended:
            self._session.close()

    def _note_first(self) -> None:
        self._session.wait_up_to(self._camera.read_timeout_s)
        if self.step == "cannot be opened" and self._camera.wants_sound:
            log.warning("%s: the stream has no sound", self._label)
        self.step = "stopped sending"

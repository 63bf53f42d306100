"""Asks an ONVIF camera for the addresses of its streams."""

import html
import secrets
from datetime import datetime, timedelta, timezone
from threading import Event
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from daemon.core.errors import InputError
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.setup.found import FoundCamera, SearchFailed
from daemon.setup.login import with_login
from daemon.setup.onvif_answers import (
    MEDIA_1,
    MEDIA_2,
    Profile,
    clock_of,
    media_services,
    offset_of,
    profiles_of,
    stream_url,
)
from daemon.setup.soap import MAX_BYTES, envelope, fault_of, parse, username_token
from daemon.sources.http.connection import NoAnswer, Stopped
from daemon.sources.http.session import HttpError, HttpResponse, HttpSession

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
SCHEMA = "http://www.onvif.org/ver10/schema"
NAMESPACES = f' xmlns:tds="{DEVICE}" xmlns:trt="{MEDIA_1}" xmlns:tr2="{MEDIA_2}" xmlns:tt="{SCHEMA}"'

CLOCK = "<tds:GetSystemDateAndTime/>"
SERVICES = "<tds:GetServices><tds:IncludeCapability>false</tds:IncludeCapability></tds:GetServices>"
CAPABILITIES = "<tds:GetCapabilities><tds:Category>All</tds:Category></tds:GetCapabilities>"

PROFILES = {
    MEDIA_2: "<tr2:GetProfiles><tr2:Type>All</tr2:Type></tr2:GetProfiles>",
    MEDIA_1: "<trt:GetProfiles/>",
}
STREAM = {
    MEDIA_2: "<tr2:GetStreamUri><tr2:Protocol>RTSP</tr2:Protocol>"
    "<tr2:ProfileToken>{token}</tr2:ProfileToken></tr2:GetStreamUri>",
    MEDIA_1: "<trt:GetStreamUri><trt:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport>"
    "<tt:Protocol>RTSP</tt:Protocol></tt:Transport></trt:StreamSetup>"
    "<trt:ProfileToken>{token}</trt:ProfileToken></trt:GetStreamUri>",
}

NONCE_BYTES = 16

CHECK_ADDRESS = "check its address, and that ONVIF is switched on in the camera's own settings"


class _Refusal(SearchFailed):
    """The camera has understood the request, or a part of it, and does not do it. It may answer another one."""


def rtsp_addresses(service: str, login: tuple[str, str] | None, timeout_s: float) -> list[FoundCamera]:
    """Return the streams of the camera with this ONVIF service, the largest picture first.

    `login` is user and password; None: ask without. It is sent digested, to the host of `service` only. The addresses
    have no login. Raises SearchFailed within `timeout_s` and the time in which the system resolves the host's name.
    """
    if urlsplit(service).scheme not in ("http", "https"):
        raise SearchFailed(f"{clean(service)}: expected the http or https URL of an ONVIF service")
    camera = _Camera(service, login, _Deadline(timeout_s), timeout_s)
    try:
        return camera.streams()
    finally:
        camera.close()


class _Deadline(Event):
    """An event that is set once its time is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._end_ns = monotonic_ns() + round(seconds * NS_PER_S)

    def is_set(self) -> bool:
        return super().is_set() or not seconds_until(self._end_ns)


class _Camera:
    """One ONVIF camera, asked by one thread."""

    def __init__(self, service: str, login: tuple[str, str] | None, deadline: _Deadline, timeout_s: float) -> None:
        self._service = service
        self._login = login
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._offset = timedelta()
        url = service if login is None else with_login(service, *login)
        self._session = HttpSession(url, timeout_s, deadline)

    def streams(self) -> list[FoundCamera]:
        """Return the streams. Raises SearchFailed."""
        if self._login is not None:
            self._offset = self._clock_offset()
        problem = SearchFailed(f"{self._service}: the camera lists no stream with an rtsp:// address")
        for namespace, media in self._media().items():
            try:
                profiles = profiles_of(self._ask(media, namespace, "GetProfiles", PROFILES[namespace]))
                found = [each for profile in profiles if (each := self._stream(namespace, media, profile)) is not None]
            except _Refusal as error:
                if error.needs_login:
                    raise  # a second wrong login may lock the user out
                problem = error
                continue
            if found:
                return found
        raise problem

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _clock_offset(self) -> timedelta:
        """Return how far the camera's clock is ahead: it refuses a login with a time that is not its own."""
        try:
            clock = clock_of(self._ask(self._service, DEVICE, "GetSystemDateAndTime", CLOCK, is_open=True))
        except _Refusal:
            return timedelta()
        return offset_of(clock, datetime.now(timezone.utc))

    def _media(self) -> dict[str, str]:
        """Return the URLs of the media services by namespace, the better one first. Raises SearchFailed."""
        found: dict[str, str] = {}
        problem = SearchFailed(f"{self._service}: names no service for streams; {CHECK_ADDRESS}")
        # old cameras do not know GetServices
        for name, request in (("GetServices", SERVICES), ("GetCapabilities", CAPABILITIES)):
            try:
                found |= media_services(self._ask(self._service, DEVICE, name, request), self._service)
            except _Refusal as error:
                if error.needs_login:
                    raise
                problem = error
            if found:
                return {each: found[each] for each in (MEDIA_2, MEDIA_1) if each in found}
        raise problem

    def _stream(self, namespace: str, media: str, profile: Profile) -> FoundCamera | None:
        """Return the stream of a profile; None: it has no address that can be used. Raises SearchFailed."""
        request = STREAM[namespace].format(token=html.escape(profile.token))
        try:
            url = stream_url(self._ask(media, namespace, "GetStreamUri", request), self._service)
        except _Refusal as error:
            if error.needs_login:
                raise
            return None  # a stream of single pictures has no RTSP address
        if url is None:
            return None
        name, needs_login = profile.name or clean(profile.token), self._login is not None
        return FoundCamera(url, name, profile.details, needs_login, bool(profile.sound), self._service)

    def _ask(self, url: str, namespace: str, name: str, request: str, *, is_open: bool = False) -> Element:
        """Return the answer to a request. With `is_open` it is sent without a login.

        Raises _Refusal when the camera refuses, otherwise SearchFailed.
        """
        content_type = "application/soap+xml; charset=utf-8"
        try:
            return self._answer(url, f'{content_type}; action="{namespace}/{name}"', name, request, is_open)
        except _Refusal as error:
            if error.needs_login:
                raise
            # most cameras need no action, some take no request without it, and few take none with it
            return self._answer(url, content_type, name, request, is_open)

    def _answer(self, url: str, content_type: str, name: str, request: str, is_open: bool) -> Element:
        header = ""
        if self._login is not None and not is_open:
            now = datetime.now(timezone.utc) + self._offset
            header = username_token(*self._login, now, secrets.token_bytes(NONCE_BYTES))
        try:
            answer = self._session.post(url, {"Content-Type": content_type}, envelope(request, header, NAMESPACES))
            content = self._content(answer)
        except Stopped:
            raise SearchFailed(f"{self._service}: has not answered in {self._timeout_s:g} s; {CHECK_ADDRESS}") from None
        except (HttpError, NoAnswer, ValueError) as error:
            raise SearchFailed(f"{self._service}: {error}; {CHECK_ADDRESS}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise SearchFailed(f"{self._service}: cannot be reached ({reason}); {CHECK_ADDRESS}") from error
        return self._checked(answer.status, content, name)

    def _content(self, answer: HttpResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        while not answer.has_ended:
            parts.append(answer.read())
            size += len(parts[-1])
            if size > MAX_BYTES:
                raise HttpError(f"its answer has more than {MAX_BYTES} bytes")
        return b"".join(parts)

    def _checked(self, status: int, content: bytes, name: str) -> Element:
        """Return the root of an answer. Raises _Refusal when it is no answer to the request."""
        root, fault, reason = None, None, "an empty answer"
        try:
            if content:
                root = parse(content)
                fault = fault_of(root)
        except InputError as error:
            reason = str(error)
        if fault is not None:
            reason = fault.reason
        # some cameras answer a request without a login with nothing at all
        is_silent = status == 200 and not content
        if status in (401, 403) or is_silent or (fault is not None and fault.wants_login):
            raise self._login_refused(f"HTTP status {status}" if fault is None else reason)
        if root is None or fault is not None or status != 200:
            raise _Refusal(f"{self._service}: the camera refuses {name}: {reason} (HTTP status {status})")
        return root

    def _login_refused(self, reason: str) -> _Refusal:
        if self._login is None:
            return _Refusal(f"{self._service}: the camera wants a login ({reason})", needs_login=True)
        remedy = "check user and password, and whether this user may use ONVIF in the camera's own settings"
        return _Refusal(f"{self._service}: the camera refuses the login ({reason}); {remedy}", needs_login=True)

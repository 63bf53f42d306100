"""Requests to one camera over HTTP, with login, redirects and deadlines, over one connection at a time."""

import contextlib
import http.client
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from daemon.sources.http.connection import DeadlineStream
from daemon.sources.http.login import Login

PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})

# A camera redirects to https or to another path, and may ask for the login twice.
MAX_REQUESTS = 8

# A refusal is read up to this size, so that its connection can be used again.
MAX_REFUSAL_BYTES = 64 * 1024

READ_BYTES = 64 * 1024

# These characters of a URL are sent as they are. Others, like blanks, are percent-encoded.
TARGET_CHARACTERS = "%/:=&?~+!$,;'@()*[]|"

# ssl.OP_LEGACY_SERVER_CONNECT, which has a name from Python 3.12 on.
LEGACY_SERVER_CONNECT = 0x4


class HttpError(Exception):
    """An answer that cannot be used. The message says why, and names no URL, which may contain a password."""


class NotHttp(HttpError):
    """The other side does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class _Request:
    """The part of a request that stays the same when it is sent again, with a login or to another URL."""

    method: str
    headers: Mapping[str, str]
    body: bytes | None = None


class HttpResponse:
    """The answer to a request. Its content is read as it arrives."""

    def __init__(self, answer: http.client.HTTPResponse, url: str) -> None:
        self._answer = answer
        # after redirects, without a login
        self.url = _without_login(url)
        self._rest = answer.length
        self.status = answer.status
        # as declared; None: unknown
        self.length = answer.length
        self.content_type = self.header("Content-Type").partition(";")[0].strip().lower()
        self.has_ended = False
        if self._rest == 0:
            self._end()

    @property
    def is_cut(self) -> bool:
        """Return whether declared content is missing."""
        return bool(self._rest)

    def header(self, name: str) -> str:
        """Return the value of a header, empty without it."""
        return self._answer.headers.get(name, "")

    def read(self) -> bytes:
        """Return the bytes that have arrived, at least one; b"" at the end.

        Raises Stopped, NoAnswer, OSError, and HttpError when the content is cut off within a chunk.
        """
        # http.client counts what read1() returns only from Python 3.12 on
        size = READ_BYTES if self._rest is None else min(self._rest, READ_BYTES)
        try:
            data = self._answer.read1(size) if size else b""
        except http.client.HTTPException:
            raise HttpError("the connection was cut") from None
        if self._rest is not None:
            self._rest -= len(data)
        if not data or self._rest == 0:
            self._end()
        return data

    def _end(self) -> None:
        self.has_ended = True
        self._answer.close()  # the connection is free for the next request


class HttpSession:
    """Sends requests for one URL, and for others that belong to it. The connection stays open where it can.

    Certificates are not verified, because cameras make their own. Proxies are not used.
    """

    def __init__(self, url: str, timeout_s: float, stop: Event) -> None:
        """`timeout_s` is for connecting, and for each wait until the response begins."""
        self._url = url
        self._timeout_s = timeout_s
        self._stop = stop
        self._login = _login_of(url)
        self._connection: _Connection | None = None
        self._tls: ssl.SSLContext | None = None

    def get(self, headers: Mapping[str, str], other: str | None = None) -> HttpResponse:
        """Return the response after login and redirects, whatever its status. `other`: another URL than the session's.

        The login of the session's URL is sent to no other host.
        The content of the response before must be read, or `close` called.
        Raises Stopped, NoAnswer, OSError, HttpError, and ValueError for a URL that cannot be sent.
        """
        url, login = self._url, self._login
        if other is not None:
            login = _login_of(other) or (login if _is_same_host(url, other) else None)
            url = other
        is_answered = False
        for _ in range(MAX_REQUESTS):
            answer = self._answer(url, login, _Request("GET", headers))
            challenges = answer.headers.get_all("WWW-Authenticate", [])
            if answer.status in REDIRECTS and "Location" in answer.headers:
                target = _redirected(url, answer.headers["Location"])
                login = _login_of(target) or (login if _is_same_host(url, target) else None)
                url, is_answered = target, False
            elif answer.status == 401 and login and login.learn(challenges, was_refused=is_answered):
                is_answered = True
            else:
                return HttpResponse(answer, url)
            self._discard(answer)
        raise HttpError(f"redirects more than {MAX_REQUESTS} times")

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Return the response to a POST, whatever its status. The login is sent as a digest only, never as it is.

        Redirects are not followed. The content of the response before must be read, or `close` called.
        Raises Stopped, NoAnswer, OSError, HttpError, and ValueError for a URL that cannot be sent.
        """
        login = self._login if _is_same_host(self._url, url) else None
        is_answered = False
        for _ in range(MAX_REQUESTS):
            answer = self._answer(url, login, _Request("POST", headers, body))
            challenges = answer.headers.get_all("WWW-Authenticate", [])
            if answer.status != 401 or login is None or not login.learn(challenges, was_refused=is_answered):
                return HttpResponse(answer, url)
            if not login.is_digest:
                raise HttpError("asks for the password in clear text")
            is_answered = True
            self._discard(answer)
        raise HttpError(f"asks for the login more than {MAX_REQUESTS} times")

    def wait_up_to(self, timeout_s: float) -> None:
        """Set how long each further wait for the content of the current response may last."""
        if self._connection is not None:
            self._connection.wait_up_to(timeout_s)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    def _answer(self, url: str, login: Login | None, request: _Request) -> http.client.HTTPResponse:
        try:
            return self._exchange(url, login, request)
        except http.client.RemoteDisconnected:
            raise HttpError("the connection was closed without an answer") from None
        except http.client.BadStatusLine:
            raise NotHttp("its answer is not HTTP") from None
        except http.client.HTTPException as error:
            raise HttpError(f"its answer is not valid HTTP: {type(error).__name__}") from None

    def _exchange(self, url: str, login: Login | None, request: _Request) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        origin = (parts.scheme, unquote(parts.hostname or ""), parts.port or PORTS[parts.scheme])
        if self._connection is not None and self._connection.origin != origin:
            self.close()
        if self._connection is not None and self._connection.is_open:
            try:
                return self._send(self._connection, url, login, request)
            except (ConnectionError, http.client.BadStatusLine):
                self.close()  # the server has closed the idle connection
        if parts.scheme == "https" and self._tls is None:
            self._tls = _tls_context()
        tls = self._tls if parts.scheme == "https" else None
        self._connection = _Connection(origin, tls, self._timeout_s, self._stop)
        return self._send(self._connection, url, login, request)

    def _send(
        self, connection: "_Connection", url: str, login: Login | None, request: _Request
    ) -> http.client.HTTPResponse:
        connection.wait_up_to(self._timeout_s)
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        target = quote((parts.path or "/") + query, safe=TARGET_CHARACTERS)
        authorization = login.authorization(request.method, target) if login else None
        all_headers = {"Host": _host_header(url), "User-Agent": "perceptd", "Accept": "*/*", **request.headers}
        if authorization:
            all_headers["Authorization"] = authorization
        connection.request(request.method, target, request.body, all_headers)
        return connection.getresponse()

    def _discard(self, answer: http.client.HTTPResponse) -> None:
        if answer.length is not None and answer.length <= MAX_REFUSAL_BYTES:
            with contextlib.suppress(http.client.IncompleteRead):
                answer.read()
        else:
            self.close()  # before another connection is opened: some cameras have only one


class _Connection(http.client.HTTPConnection):
    """An HTTP connection over a DeadlineStream."""

    def __init__(self, origin: tuple[str, str, int], tls: ssl.SSLContext | None, timeout_s: float, stop: Event) -> None:
        super().__init__(origin[1], origin[2])
        self.origin = origin
        self._tls = tls
        self._timeout_s = timeout_s
        self._stop = stop
        self._stream: DeadlineStream | None = None

    @property
    def is_open(self) -> bool:
        return self.sock is not None

    def connect(self) -> None:
        self._stream = self.sock = DeadlineStream(self.host, self.port, self._tls, self._timeout_s, self._stop)

    def wait_up_to(self, timeout_s: float) -> None:
        # http.client lets go of the socket when only the response still reads from it
        if self._stream is not None:
            self._stream.timeout_s = timeout_s

    def abort(self) -> None:
        """Close the connection, even while a response is read from it."""
        self.close()
        if self._stream is not None:
            self._stream.abort()


def has_proxy(url: str) -> bool:
    """Return whether the environment (http_proxy, no_proxy) names a proxy for the URL. HttpSession would not use it."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    return "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


def _login_of(url: str) -> Login | None:
    user_info = urlsplit(url).netloc.rpartition("@")[0]
    return Login(user_info) if user_info else None


def _without_login(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _redirected(url: str, location: str) -> str:
    # without the login, which a relative location would take over
    target = urljoin(_without_login(url), location)
    parts = urlsplit(target)
    if parts.scheme not in PORTS or not parts.hostname:
        raise HttpError("redirects to something else than http or https")
    return target


def _is_same_host(url: str, target: str) -> bool:
    """Return whether the login for `url` may be sent to `target` too."""
    before, after = urlsplit(url), urlsplit(target)
    return before.hostname == after.hostname and (before.scheme == "http" or after.scheme == "https")


def _host_header(url: str) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").partition("%")[0]  # a zone has a meaning on this machine only
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    return host if parts.port in (None, PORTS[parts.scheme]) else f"{host}:{parts.port}"


def _tls_context() -> ssl.SSLContext:
    """Return a context for cameras: no certificate is verified, and old protocols and keys are accepted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.options |= LEGACY_SERVER_CONNECT
    return context

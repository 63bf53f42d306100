"""A file from a web server, in chunks, or in words why not. The only module that imports urllib3."""

import base64
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import make_headers

from daemon.core.errors import UpdateError
from daemon.core.text import redact

TIMEOUT_S = 10.0
"""For a connection, and for the next byte: a web server that is there answers within a second or two."""

REDIRECTS_MOST = 5
"""Object stores redirect once, to another host; more than a few go round in circles."""

CHUNK_BYTES = 64 * 1024
"""At most so much is passed on at once; what comes slowly, as it comes."""

PORTS = {"http": 80, "https": 443}
"""Where a URL says none: the same server with it and without."""

CAUSES = {
    400: "does not understand the request",
    401: "wants other credentials",
    403: "refuses",
    404: "has no such file",
}
"""What a status means that the operator or the publisher can do something about."""


SHOWN_CHARS = 300
"""How much of a URL is told where a redirect has made it."""


class Missing(UpdateError):
    """The source has no such file, or does not give it: `status` as HTTP has it, 403 or 404."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__("source", message)
        self.status = status


def without_credentials(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def redirected(url: str, location: str) -> str:
    """Where a redirect leads. Raises UpdateError when it leaves http(s), or is from https to http."""
    try:
        there = urljoin(url, location)
        scheme, host, _ = _origin(there)
    except ValueError as error:
        raise UpdateError("source", f"{_shown(url)}: sends us on to what is no URL") from error
    allowed = ("https",) if urlsplit(url).scheme == "https" else ("https", "http")
    if scheme not in allowed or host is None:
        raise UpdateError("source", f"{_shown(url)}: sends us on to {scheme}://, which is not followed from here")
    return without_credentials(there)


def _shown(url: str) -> str:
    """Without what an object store may have signed into it."""
    url = url.partition("?")[0]
    return url if len(url) <= SHOWN_CHARS else f"{url[:SHOWN_CHARS]}..."


class Web:
    """What is below one URL, whose user and password are sent to that host alone."""

    def __init__(self, source: str, agent: str) -> None:
        parts = urlsplit(source)
        self._origin = _origin(source)
        self._headers = make_headers(accept_encoding="identity", user_agent=agent)
        self._login = {} if parts.username is None else _login(parts.username, parts.password or "")
        self._proxies = urllib.request.getproxies()
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def chunks(self, url: str) -> Iterator[bytes]:
        """The content, as it is sent. Raises UpdateError, or Missing."""
        at = url
        try:
            for _ in range(REDIRECTS_MOST + 1):
                with closing(self._request(at)) as response:
                    if location := response.get_redirect_location():
                        at = redirected(at, location)
                        continue
                    _check(response, _shown(at))
                    while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                        yield chunk
                    response.release_conn()
                    return
        except (HTTPError, OSError) as error:
            raise UpdateError("source", f"{_shown(at)}: {in_words(error)}") from error
        raise UpdateError("source", f"{url}: sends us on more than {REDIRECTS_MOST} times")

    def _request(self, url: str) -> urllib3.BaseHTTPResponse:
        parts = urlsplit(url)
        headers = {**self._headers, **(self._login if _origin(url) == self._origin else {})}
        bypassed = urllib.request.proxy_bypass(parts.netloc)
        proxy = None if bypassed else self._proxies.get(parts.scheme, self._proxies.get("all"))
        if proxy not in self._pools:
            self._pools[proxy] = urllib3.PoolManager() if proxy is None else urllib3.ProxyManager(proxy)
        timeout = urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S)
        return self._pools[proxy].request(
            "GET", url, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
        )


def in_words(error: Exception) -> str:
    """What went wrong on the way, for a person."""
    if isinstance(error, NameResolutionError):
        return "its host's name is not known, or nobody can be asked for it"
    if isinstance(error, NewConnectionError):
        return _unreachable(error.__cause__ or error.__context__)
    if isinstance(error, ConnectTimeoutError):
        return f"does not answer within {TIMEOUT_S:g} s"
    if isinstance(error, ReadTimeoutError):
        return f"has sent nothing for {TIMEOUT_S:g} s"
    if isinstance(error, SSLError):
        return _insecure(error)
    if isinstance(error, ProxyError):
        return f"its proxy: {in_words(error.original_error)}"
    if isinstance(error, ProtocolError | IncompleteRead):
        return "the connection was cut before all had come"
    return f"cannot be fetched: {redact(str(error))}"


def _login(user: str, password: str) -> dict[str, str]:
    told = f"{unquote(user)}:{unquote(password)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(told).decode()}"}


def _insecure(error: SSLError) -> str:
    cause = error.args[0] if error.args else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {cause.verify_message}"
    return f"TLS fails: {redact(str(error))}"


def _unreachable(cause: BaseException | None) -> str:
    if isinstance(cause, ConnectionRefusedError):
        return "refuses connections: is a web server running there?"
    return f"cannot be reached: {(cause.strerror if isinstance(cause, OSError) else None) or 'no connection'}"


def _check(response: urllib3.BaseHTTPResponse, url: str) -> None:
    status = response.status
    if status in (403, 404):
        raise Missing(f"{url}: {CAUSES[status]} ({status})", status)
    if status >= 500:
        raise UpdateError("source", f"{url}: the server has a fault of its own ({status})")
    if status != 200:
        raise UpdateError("source", f"{url}: {CAUSES.get(status, 'expected 200')} ({status})")
    if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
        raise UpdateError("source", f"{url}: is sent as {encoding[:20]}; files must be served as they are")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)

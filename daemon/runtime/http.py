"""Downloads over HTTP, bounded in bytes and time; the only module that imports urllib3."""

import base64
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import closing
from queue import Empty, SimpleQueue
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3 import exceptions
from urllib3.util import make_headers, parse_url

from daemon.core.errors import PerceptdError
from daemon.core.text import redact

# for connecting, and for the next byte: a reachable web server answers within a second or two
TIMEOUT_S = 10.0

# twice the time-out: name resolution, connecting and a TLS handshake take seconds over a slow radio link
GRACE_S = 20.0

# 10 MB take three hours at this rate; the slowest mobile data (GPRS) is faster, so a slower sender is an attack
MIN_BYTES_PER_S = 1000

# object stores redirect once, to another host
MAX_REDIRECTS = 5

CHUNK_BYTES = 64 * 1024

# of a URL in a message, since a redirect can make it long
SHOWN_CHARS = 300

PORTS = {"http": 80, "https": 443}

STATUS_TEXTS = {
    400: "rejects the request as malformed",
    401: "rejects the login",
    403: "refuses access",
    404: "has no such file",
    407: "the login is missing or wrong",
}

# http.client gives the status of a refused CONNECT in its message only
REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\b")


class TransferError(PerceptdError):
    """A file cannot be fetched; `status` is the HTTP status of the response, 0 without a response."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class CannotResume(TransferError):
    """The server does not send the rest of a file; it may send the whole file."""


class HttpClient:
    """Fetches the files of one web server; the user and password in its URL are sent to that server only.

    `token` is sent in their place, as a bearer's. Proxies come from the environment (http_proxy, https_proxy,
    all_proxy, no_proxy), and may have a login.
    """

    def __init__(self, server: str, agent: str, token: str | None = None) -> None:
        self._origin = _origin(server)
        self._headers = make_headers(accept_encoding="identity", user_agent=agent)
        self._login = _login("Authorization", urlsplit(server).netloc.rpartition("@")[0])
        if token is not None:
            self._login = {"Authorization": f"Bearer {token}"}
        self._proxies = urllib.request.getproxies()
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def chunks(self, url: str, start: int = 0) -> Generator[bytes, None, None]:
        """Yield the content of a file from the byte `start` on, as it arrives.

        Raises TransferError; there are no retries. Raises CannotResume where the server does not send that part.
        """
        current = url
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with closing(self._request(current, start)) as response:
                    if location := response.get_redirect_location():
                        current = redirected(current, location)
                        continue
                    _check(response, _shown(current), start)
                    while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                        yield chunk
                    response.release_conn()
                    return
        except (exceptions.HTTPError, OSError) as error:
            raise TransferError(f"{_shown(current)}: {_error_text(error)}") from error
        raise TransferError(f"{url}: redirects more than {MAX_REDIRECTS} times")

    def _request(self, url: str, start: int) -> urllib3.BaseHTTPResponse:
        parts = urlsplit(url)
        headers = self._headers | (self._login if _origin(url) == self._origin else {})
        if start:
            headers = headers | {"Range": f"bytes={start}-"}
        bypassed = urllib.request.proxy_bypass(parts.netloc)
        proxy = None if bypassed else self._proxies.get(parts.scheme, self._proxies.get("all"))
        if proxy not in self._pools:
            try:
                self._pools[proxy] = urllib3.PoolManager() if proxy is None else _proxy_pool(proxy)
            except exceptions.LocationValueError:  # its message may have the login
                raise TransferError(
                    f"{_shown(url)}: its proxy: expected an http or https URL in the environment variable"
                ) from None
        timeout = urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S)
        return self._pools[proxy].request(
            "GET", url, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
        )


def without_credentials(url: str) -> str:
    """Return the URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def redirected(url: str, location: str) -> str:
    """Return the target URL of a redirect.

    Raises TransferError when it is not http or https, or leads from https to http.
    """
    try:
        target = urljoin(url, location)
        scheme, host, _ = _origin(target)
    except ValueError as error:
        raise TransferError(f"{_shown(url)}: redirects to an invalid URL") from error
    allowed = ("https",) if urlsplit(url).scheme == "https" else ("https", "http")
    if scheme not in allowed or host is None:
        raise TransferError(f"{_shown(url)}: redirects to {scheme}://, which is not followed from here")
    return without_credentials(target)


def allowed_s(received: int) -> float:
    """Return the seconds that a sender may take until the first byte after `received` bytes."""
    return GRACE_S + received / MIN_BYTES_PER_S


def bounded(
    chunks: Generator[bytes, None, None], name: str, max_bytes: int, limit_s: float = float("inf")
) -> Generator[bytes, None, None]:
    """Yield the same chunks. Raises TransferError when they are too large, too slow or take longer than `limit_s`.

    Only the time spent waiting for chunks counts. A thread reads them: no time-out of a library covers name resolution,
    headers that arrive byte by byte, and a hanging disk. A hanging thread remains until the process ends.
    """
    demands: SimpleQueue[bool] = SimpleQueue()
    answers: SimpleQueue[bytes | Exception] = SimpleQueue()
    threading.Thread(target=_read, args=(chunks, demands, answers), name="reader", daemon=True).start()
    waited, received = 0.0, 0
    demands.put(True)
    try:
        while True:
            asked = time.monotonic()
            try:
                answer = answers.get(timeout=max(0.0, min(allowed_s(received), limit_s) - waited))
            except Empty:
                amount = f"only {received} bytes were received in" if received else "nothing was received for"
                elapsed = waited + time.monotonic() - asked
                raise TransferError(f"{name}: {amount} {elapsed:.0f} s") from None
            waited += time.monotonic() - asked
            if isinstance(answer, Exception):
                raise answer
            if not answer:
                return
            received += len(answer)
            if received > max_bytes:
                raise TransferError(f"{name}: sends more than the allowed {max_bytes} bytes")
            demands.put(True)  # the next chunk is read while this one is written
            yield answer
    finally:
        demands.put(False)


def _read(
    chunks: Generator[bytes, None, None], demands: SimpleQueue[bool], answers: SimpleQueue[bytes | Exception]
) -> None:
    """Answer each demand with the next chunk, b"" at the end, or the exception; the demand False ends the thread."""
    with closing(chunks):
        try:
            while demands.get():
                answers.put(next(chunks, b""))
        except Exception as error:  # noqa: BLE001  (raised where the chunks are used)
            answers.put(error)


def _proxy_pool(proxy: str) -> urllib3.ProxyManager:
    # urllib3 does not send the login of a proxy's URL by itself
    url = parse_url(proxy if "://" in proxy else f"http://{proxy}")
    return urllib3.ProxyManager(
        url._replace(auth=None).url, proxy_headers=_login("Proxy-Authorization", url.auth or "")
    )


def _login(header: str, user_info: str) -> dict[str, str]:
    """Return the header for the user and password of a URL; empty without them."""
    user, _, password = user_info.partition(":")
    login = f"{unquote(user)}:{unquote(password)}".encode()
    return {header: f"Basic {base64.b64encode(login).decode()}"} if user_info else {}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def _shown(url: str) -> str:
    """Return the URL for a message: without its query, which may contain an object store's signature."""
    url = url.partition("?")[0]
    return url if len(url) <= SHOWN_CHARS else f"{url[:SHOWN_CHARS]}..."


def _check(response: urllib3.BaseHTTPResponse, url: str, start: int) -> None:
    if start and _has_other_part(response, start):
        raise CannotResume(f"{url}: cannot be resumed at byte {start}", response.status)
    if response.status != (206 if start else 200):
        proxy = "its proxy: " if response.status == 407 else ""
        raise TransferError(f"{url}: {proxy}{_status_text(response.status)}", response.status)
    if (encoding := response.headers.get("Content-Encoding", "identity").lower()) != "identity":
        raise TransferError(f"{url}: is sent as {encoding[:20]}; serve files without compression")


def _has_other_part(response: urllib3.BaseHTTPResponse, start: int) -> bool:
    """Return whether the server sends the whole file, another part than was asked for, or has no such part (416)."""
    if response.status == 206:
        return not response.headers.get("Content-Range", "").lower().startswith(f"bytes {start}-")
    return response.status in (200, 416)


def _status_text(status: int) -> str:
    default = "the server failed" if status >= 500 else "expected 200"
    return f"{STATUS_TEXTS.get(status, default)} ({status})"


def _error_text(error: Exception) -> str:
    """Return the cause of a failed transfer, for a person."""
    match error:
        case exceptions.ProxyError(original_error=inner):
            refused = REFUSED_TUNNEL.match(str(inner))
            return f"its proxy: {_status_text(int(refused[1])) if refused else _error_text(inner)}"
        case exceptions.NameResolutionError():
            return "its host name cannot be resolved"
        case exceptions.NewConnectionError(__cause__=ConnectionRefusedError()):
            return "refuses connections: is a web server running there?"
        case exceptions.NewConnectionError(__cause__=cause):
            return f"cannot be reached: {getattr(cause, 'strerror', None) or 'no connection'}"
        case exceptions.ConnectTimeoutError():
            return f"does not answer within {TIMEOUT_S:g} s"
        case exceptions.ReadTimeoutError():
            return f"has sent nothing for {TIMEOUT_S:g} s"
        case exceptions.SSLError(args=(ssl.SSLCertVerificationError(verify_message=reason), *_)):
            return f"its certificate is not trusted here: {reason}"
        case exceptions.SSLError():
            return f"TLS fails: {redact(str(error))}"
        case exceptions.ProtocolError() | exceptions.IncompleteRead():
            return "the connection was cut before the end of the file"
    return f"cannot be fetched: {redact(str(error))}"

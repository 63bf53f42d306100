"""Reads requests and writes answers by cheroot, within limits. The only import of cheroot."""

import io
import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from cheroot import wsgi
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest

from daemon.core.logs import rate_limited_logger
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S, monotonic_ns

log = rate_limited_logger(__name__)

Wsgi: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]

MAX_HEADER_BYTES = 16 * 1024
# a config, as JSON; and everything else
MAX_CONFIG_BYTES = 384 * 1024
MAX_BODY_BYTES = 16 * 1024
CONFIG_PATH = b"/api/config"

# headers on which it rests whether a request is answered, and where it ends
SINGLE_HEADERS = frozenset(
    {b"Host", b"Content-Length", b"Transfer-Encoding", b"Content-Type", b"Origin", b"Authorization"}
)
# RFC 9110, section 5.5, and RFC 9112, section 5: no blank before the colon, no control character
_HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):([^\x00-\x08\x0a-\x1f\x7f]*)\r\n")

# WSGI environ: this machine's end of the connection
LOCAL_ADDRESS = "perceptd.local_address"
# and the object with the deadline of the request
CONNECTION = "perceptd.connection"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be, and how long each may take.

    `of_one_address` does not hold a trusted proxy, which has the connections of all browsers; a browser has six.
    `first_byte_s` is until the first request begins, `keep_alive_s` between two. A request is complete within
    `request_s` from its first byte on. An answer is sent within `answer_s`, but for that of a follower. The other side
    takes or sends at least something within `progress_s`.
    """

    connections: int = 64
    of_one_address: int = 24
    first_byte_s: float = 5.0
    keep_alive_s: float = 30.0
    request_s: float = 10.0
    answer_s: float = 600.0
    progress_s: float = 10.0


SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; form-action 'none'; "
        "frame-ancestors 'self'; base-uri 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)


class StrictHeaderReader(HeaderReader):
    """Reads headers that every program reads in the same way, and refuses others.

    A proxy that reads them otherwise would take other bytes for the next request, or check another host. Headers with
    an underscore are dropped: WSGI takes X_Forwarded_Host for X-Forwarded-Host, which proxies replace.
    """

    def __call__(self, rfile: Any, hdict: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
        """Read until the empty line; the last of several equal headers counts. Raises ValueError."""
        found: dict[bytes, bytes] = {} if hdict is None else hdict
        while (line := rfile.readline()) != b"\r\n":
            matched = _HEADER.fullmatch(line)
            if matched is None:  # also one that goes on in the next line
                raise ValueError("A header is not valid.")
            name, value = matched[1].title(), matched[2].strip(b" \t")
            if name in found and name in SINGLE_HEADERS:
                raise ValueError("A header is there twice.")
            if b"_" not in name:
                found[name] = value
        return found


class Request(HTTPRequest):
    """A request with a deadline, and with a body of a known, small length."""

    header_reader = StrictHeaderReader()

    def read_request_line(self) -> bool:
        """Read the first line."""
        self.conn.expect_within(self.server.limits.request_s)
        return bool(super().read_request_line())  # type: ignore[no-untyped-call]

    def read_request_headers(self) -> bool:
        """Read the headers, and refuse bodies that are too long or of unknown length."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        # no browser sends such requests; cheroot takes no notice of the header in HTTP/1.0
        if b"Transfer-Encoding" in self.inheaders:
            self._refuse("411 Length Required", "The length of the body is missing.")
            return False
        length = self.inheaders.get(b"Content-Length", b"0")
        if not length.isdigit():
            self._refuse("400 Bad Request", "The length of the body is no number.")
            return False
        most = MAX_CONFIG_BYTES if self.path.endswith(CONFIG_PATH) else MAX_BODY_BYTES
        if int(length) > most:
            self._refuse("413 Request Entity Too Large", f"The body has more than {most} bytes.")
            return False
        return True

    def _refuse(self, status: str, message: str) -> None:
        self.close_connection = True
        self.simple_response(status, message)


class Gateway(wsgi.Gateway_10):
    """Hands a request on with its whole body, and adds the headers that each answer has."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """Return the WSGI environment."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        body = self.req.rfile.read(self.req.rfile.remaining) if self.req.rfile.remaining else b""
        environ["wsgi.input"] = io.BytesIO(body)
        environ[LOCAL_ADDRESS] = self.req.conn.local_address
        environ[CONNECTION] = self.req.conn
        self.req.conn.expect_within(self.req.server.limits.answer_s)
        return environ

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Begin an answer."""
        given = {name.lower() for name, _ in headers}
        more = [(name, value) for name, value in SECURITY_HEADERS if name.lower() not in given]
        return super().start_response(status, [*headers, *more], exc_info)


class Connection(HTTPConnection):
    """One connection of a browser. Its thread serves it; another thread ends it after its deadline."""

    RequestHandlerClass = Request

    def __init__(self, server: "HttpServer", connected: socket.socket, peer: tuple[str, int]) -> None:
        super().__init__(server, connected)
        self.remote_addr, self.remote_port = peer
        self.local_address = str(connected.getsockname()[0])
        self._deadline_ns: int | None = None

    def expect_within(self, seconds: float | None) -> None:
        """Set the deadline of what goes on now; None: it may take any time."""
        self._deadline_ns = None if seconds is None else monotonic_ns() + round(seconds * NS_PER_S)

    def is_late(self, now_ns: int) -> bool:
        """Return whether the deadline has passed."""
        deadline_ns = self._deadline_ns
        return deadline_ns is not None and now_ns > deadline_ns

    @property
    def has_input(self) -> bool:
        """Return whether a part of the next request has been read already."""
        pending = self.socket.pending() if isinstance(self.socket, ssl.SSLSocket) else 0
        return bool(self.rfile.has_data() or pending)

    def shut_down(self) -> None:
        """End what the connection's thread reads or writes; any thread may call this."""
        with suppress(OSError):
            # of an SSLSocket too: only the transport ends
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class HttpServer(wsgi.Server):
    """What cheroot's connections and requests ask of their server. It has neither a socket nor threads."""

    ConnectionClass = Connection
    max_request_header_size = MAX_HEADER_BYTES
    max_request_body_size = MAX_CONFIG_BYTES
    # the connection's own thread waits for the next request
    can_add_keepalive_connection = True

    def __init__(self, application: Wsgi, context: ssl.SSLContext | None, limits: Limits) -> None:
        super().__init__(("127.0.0.1", 0), application, server_name="perceptd")
        self.gateway = Gateway
        self.limits = limits
        self.timeout = limits.progress_s
        # cheroot asks only whether there is one: connections begin as TLS in their own threads
        self.ssl_adapter = context

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Write what went wrong with a connection to the log."""
        log.log(level, "a connection to the page failed: %s", clean(str(msg), 200), exc_info=traceback)


def tls_context(certificate: str, key: str | None) -> ssl.SSLContext:
    """Return the settings of HTTPS with this certificate. Raises OSError, ssl.SSLError included."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context

"""The HTTP server of metrics: one request after another, each within a deadline and a number of bytes."""

import hmac
import io
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.node.metrics import render
from daemon.node.metrics_input import Observed

log = logging.getLogger(__name__)

PATH = "/metrics"

# A reader on a slow link needs less. The next reader waits as long for one that says nothing.
REQUEST_S = 2.0
MAX_REQUEST_BYTES = 16_384
BACKLOG = 8


class MetricsServer:
    """Listens for readers of metrics. A context manager, used by one thread."""

    def __init__(self, address: tuple[str, int], token: str | None, observe: Callable[[], Observed]) -> None:
        """`token` is what a reader must present; None: nothing. Raises OSError when the address cannot be used."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=BACKLOG)
        self._connection: socket.socket | None = None
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._observe = observe

    def __enter__(self) -> "MetricsServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def stop(self) -> None:
        """End what `serve_one` waits for. Callable from any thread."""
        for waited in (self._listener, self._connection):
            if waited is not None:
                with suppress(OSError):  # it has ended already
                    waited.shutdown(socket.SHUT_RDWR)

    def serve_one(self, wait_s: float) -> None:
        """Answer the next reader that comes within the time. Raises OSError when nobody can come any more."""
        self._listener.settimeout(wait_s)
        try:
            connection, peer = self._listener.accept()
        except (TimeoutError, ConnectionError):  # nobody came, or went again at once
            return
        with connection:
            self._connection = connection
            try:
                _Handler(connection, peer, self)  # type: ignore[arg-type]  # it needs no socketserver
            except OSError as error:
                log.debug("a reader of metrics is gone: %s", error)

    def accepts(self, authorization: str) -> bool:
        """Return whether this header has the token."""
        given = authorization.encode("latin-1", "replace")
        return self._expected is None or hmac.compare_digest(given, self._expected)

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return the type and the text of the metrics as they are now, for this header."""
        return render(self._observe(), accept)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, then closes the connection."""

    server_version, sys_version = "perceptd", ""
    server: MetricsServer  # type: ignore[assignment]

    def setup(self) -> None:
        """Read from a connection that has a deadline."""
        super().setup()
        self.rfile = io.BufferedReader(_Bounded(self.connection))

    def do_GET(self) -> None:
        """Answer with the metrics."""
        self.connection.settimeout(REQUEST_S)
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"metrics are at {PATH}")
        elif not self.server.accepts(self.headers.get("Authorization", "")):
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Bearer realm="perceptd"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            media_type, text = self.server.render(self.headers.get("Accept", ""))
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(text)

    do_HEAD = do_GET  # noqa: N815  (the library's name)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  (the library's name)
        """Log at level debug: there is a request every few seconds."""
        log.debug(format, *arguments)


class _Bounded(io.RawIOBase):
    """Reads a connection until the deadline, and at most MAX_REQUEST_BYTES."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self._deadline_ns = monotonic_ns() + round(REQUEST_S * NS_PER_S)
        self._room = MAX_REQUEST_BYTES
        connection.settimeout(REQUEST_S)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has come. Raises TimeoutError after the deadline."""
        self._connection.settimeout(max(0.001, seconds_until(self._deadline_ns)))
        count = self._connection.recv_into(buffer, min(len(buffer), self._room)) if self._room else 0
        self._room -= count
        return count

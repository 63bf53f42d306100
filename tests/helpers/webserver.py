"""A web server on a free loopback port that serves a directory, with faults on request."""

import base64
import functools
import http.server
import re
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.helpers.serving import serving

PIECE = 4096


@dataclass(frozen=True)
class Fault:
    """A fault of a path: another status, redirection, content, speed or headers than usual.

    `endless` sends zeros for ever. `cut_after` ends the connection after so many bytes. `silent` accepts and never
    answers. `slow_headers` sends headers for ever, one each tenth of a second. `chunked` uses the chunked transfer
    encoding. `whole` ignores the header Range, and `range_shift` answers it with a part that begins so much later.
    """

    status: int = 200
    location: str | None = None
    content: bytes | None = None
    endless: bool = False
    cut_after: int | None = None
    bytes_per_s: float | None = None
    length_header: int | None = None
    encoding: str | None = None
    silent: bool = False
    slow_headers: bool = False
    chunked: bool = False
    whole: bool = False
    range_shift: int = 0


class WebServer:
    """Serves `directory`.

    `faults` maps patterns of paths to faults. `requests` lists the requested paths, `authorizations` their headers
    Authorization, `ranges` their headers Range. `sent` counts bytes. With `login` a user and password are required.
    """

    def __init__(self, directory: Path, *, tls: tuple[Path, Path] | None = None) -> None:
        self.directory = directory
        self.faults: dict[str, Fault] = {}
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self.ranges: list[str | None] = []
        self.sent = 0
        self.login: str | None = None
        self.closing = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{self.port}"

    def fault(self, path: str) -> Fault:
        return next((fault for pattern, fault in self.faults.items() if fnmatch(path, pattern)), Fault())

    @contextmanager
    def serving(self) -> Iterator["WebServer"]:
        """Serve during the block."""
        with serving(self._server):
            try:
                yield self
            finally:
                self.closing.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content_range: str | None = None

    def __init__(self, server: WebServer, *arguments: object) -> None:
        self.web = server
        super().__init__(*arguments)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self.web.requests.append(self.path)
        self.web.authorizations.append(self.headers.get("Authorization"))
        self.web.ranges.append(self.headers.get("Range"))
        try:
            self._serve(self.web.fault(self.path))
        except OSError:
            self.close_connection = True  # the client has gone

    def _serve(self, fault: Fault) -> None:
        if fault.silent:
            self.web.closing.wait(30)
            self.close_connection = True
        elif fault.slow_headers:
            self._send_headers_for_ever()
        elif self.web.login and self.headers.get("Authorization") != _basic(self.web.login):
            self._send_head(401, 0, fault)
        elif fault.location is not None:
            self._send_head(fault.status, 0, fault)
        elif fault.endless:
            self._send_head(200, None, fault)
            while not self.web.closing.is_set():
                self._send(bytes(PIECE))
        else:
            self._send_file(fault)

    def _send_file(self, fault: Fault) -> None:
        path = self.web.directory / self.path.lstrip("/")
        content = fault.content if fault.content is not None else path.read_bytes() if path.is_file() else None
        if content is None or fault.status != 200:
            self._send_head(404 if content is None and fault.status == 200 else fault.status, 0, fault)
            return
        start = self._range_start(fault)
        if start > len(content):
            self._send_head(416, 0, fault)
            return
        content, size = content[start:], len(content)
        self.content_range = f"bytes {start}-{size - 1}/{size}" if start else None
        length = len(content) if fault.length_header is None else fault.length_header
        self._send_head(206 if start else 200, length, fault)
        if fault.chunked:
            self._send_chunks(content, fault)
            return
        rest = content if fault.cut_after is None else content[: fault.cut_after]
        piece = PIECE if fault.bytes_per_s is None else max(1, int(fault.bytes_per_s / 20))
        while rest and not self.web.closing.is_set():
            self._send(rest[:piece])
            rest = rest[piece:]
            if fault.bytes_per_s is not None:
                time.sleep(piece / fault.bytes_per_s)
        if fault.cut_after is not None or fault.length_header is not None:
            self.close_connection = True

    def _range_start(self, fault: Fault) -> int:
        """Return the first byte that is asked for; only the form `bytes=START-` is known."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return 0 if fault.whole or found is None else int(found[1]) + fault.range_shift

    def _send_head(self, status: int, length: int | None, fault: Fault) -> None:
        self.send_response(status)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length is not None:
            self.send_header("Content-Length", str(length))
        if length is None or self.close_connection:
            self.send_header("Connection", "close")
        if fault.location is not None:
            self.send_header("Location", fault.location)
        if self.content_range is not None:
            self.send_header("Content-Range", self.content_range)
            self.content_range = None
        if fault.encoding is not None:
            self.send_header("Content-Encoding", fault.encoding)
        self.end_headers()

    def _send_chunks(self, content: bytes, fault: Fault) -> None:
        for start in range(0, len(content), PIECE):
            if fault.cut_after is not None and start >= fault.cut_after:
                self.close_connection = True
                return
            piece = content[start : start + PIECE]
            self._send(b"%x\r\n%b\r\n" % (len(piece), piece))
        self._send(b"0\r\n\r\n")

    def _send_headers_for_ever(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.web.closing.wait(0.1):
            self.wfile.write(b"X: y\r\n")

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.web.sent += len(data)


def _basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()

"""An HTTP server on a free loopback port that sends exactly the bytes that a test gives it."""

import select
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from daemon.core.timing import monotonic_ns
from tests.helpers.logins import digest_of, is_right_digest
from tests.helpers.serving import serving

MAX_HEAD_BYTES = 65536


@dataclass(frozen=True)
class Request:
    """A request: its method, target and headers (names in lower case), and the number of its connection."""

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    received_ns: int


# Returns the pieces of the response; a number is a pause in seconds.
Answer = Callable[[Request], Iterable[bytes | float]]


class RawHttpServer:
    """Sends `answer` to each request, and then closes the connection unless `keep_alive`.

    `is_single`: serves one connection at a time, and another one only after that, like a small microcontroller.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        keep_alive: bool = False,
        is_single: bool = False,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.answer = answer
        self.keep_alive = keep_alive
        self.requests: list[Request] = []
        self.connections = 0
        self.sent = 0
        self.closing = threading.Event()
        self._is_single = is_single
        kind = socketserver.TCPServer if is_single else socketserver.ThreadingTCPServer
        server = type("Server", (kind,), {"daemon_threads": True, "address_family": 10 if ":" in host else 2})
        self._server = server((host, 0), _Handler)
        self._server.raw = self
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._origin = f"{f'[{host}]' if ':' in host else host}:{self.port}"
        self._scheme = "https" if tls else "http"

    def url(self, path: str = "/", login: str = "") -> str:
        return f"{self._scheme}://{login}{self._origin}{path}"

    @contextmanager
    def serving(self) -> Iterator["RawHttpServer"]:
        """Serve until the block ends."""
        with serving(self._server):
            try:
                yield self
            finally:
                self.closing.set()


class _Handler(socketserver.StreamRequestHandler):
    server: Any
    timeout = 20

    def handle(self) -> None:
        raw: RawHttpServer = self.server.raw
        raw.connections += 1
        number = raw.connections
        try:
            while (request := self._read(number)) and not raw.closing.is_set():
                raw.requests.append(request)
                self._send(raw, request)
                if not raw.keep_alive:
                    return
        except OSError:
            return  # the client has gone

    def _send(self, raw: RawHttpServer, request: Request) -> None:
        for piece in raw.answer(request):
            if raw.closing.is_set():
                return
            if isinstance(piece, bytes):
                self.wfile.write(piece)
                raw.sent += len(piece)
            else:
                self._pause(raw, piece)

    def _pause(self, raw: RawHttpServer, seconds: float) -> None:
        """Wait. Raises ConnectionResetError once the client has closed the connection."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0 and not raw.closing.is_set():
            if select.select([self.connection], [], [], min(rest, 0.05))[0] and not self.rfile.peek():
                raise ConnectionResetError

    def _read(self, number: int) -> Request | None:
        line = self.rfile.readline(MAX_HEAD_BYTES).decode().split()
        if len(line) != 3:
            return None
        headers = {}
        while header := self.rfile.readline(MAX_HEAD_BYTES).decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return Request(line[0], line[1], headers, number, monotonic_ns())


class Always:
    """Sends the same pieces to every request."""

    def __init__(self, *pieces: bytes | float) -> None:
        self._pieces = pieces

    def __call__(self, request: Request) -> Iterable[bytes | float]:
        return self._pieces


def head(status: str = "200 OK", *headers: str, version: str = "1.1") -> bytes:
    """Return the head of a response."""
    return "\r\n".join((f"HTTP/{version} {status}", *headers, "", "")).encode()


def content(data: bytes, content_type: str, *headers: str) -> bytes:
    """Return a whole response with its length."""
    return head("200 OK", f"Content-Type: {content_type}", f"Content-Length: {len(data)}", *headers) + data


def chunked(data: bytes) -> bytes:
    """Return the data as one chunk of the chunked transfer encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


UNAUTHORIZED = head("401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"', "Content-Length: 0")


@dataclass
class BasicLogin:
    """Sends `response` to who gives any login."""

    response: bytes

    def __call__(self, request: Request) -> Iterable[bytes | float]:
        return [self.response if "authorization" in request.headers else UNAUTHORIZED]


@dataclass
class DigestLogin:
    """Checks the digest of each request as RFC 7616 says, with a new nonce after every `uses` requests."""

    user: str
    password: str
    challenge: str = 'Digest realm="cam, \\"era\\"", qop="auth", algorithm=MD5'
    hash_name: str = "md5"
    uses: int = 1000
    _nonce: int = field(default=0, init=False)
    _counts: int = field(default=0, init=False)

    def refusal(self, request: Request) -> bytes | None:
        """Return the response that refuses the request; None if its login is right."""
        given = digest_of(request.headers.get("authorization", ""))
        is_right = is_right_digest(
            given, request.method, request.target, (self.user, self.password), hash_name=self.hash_name
        )
        if is_right and given["nonce"] == f"n{self._nonce}" and self._counts < self.uses:
            self._counts += 1
            return None
        self._nonce, self._counts = self._nonce + 1, 0
        stale = ", stale=true" if is_right else ""
        header = f'WWW-Authenticate: {self.challenge}, nonce="n{self._nonce}", opaque="o="{stale}'
        return head("401 Unauthorized", header, "WWW-Authenticate: NTLM", "Content-Length: 6") + b"refuse"

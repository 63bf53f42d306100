"""A camera that speaks HTTP or HTTPS: live streams of any content, digest login, redirections."""

import http.server
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.helpers.logins import digest_of, is_right_digest
from tests.helpers.serving import serving

CHALLENGE = {"realm": "camera", "nonce": "5f3a"}


@dataclass(frozen=True)
class Redirection:
    location: str
    status: int = 302


@dataclass(frozen=True)
class Live:
    """Pieces that are sent at their time in seconds since the request."""

    content_type: str
    pieces: Iterable[tuple[float, bytes]]


@dataclass(frozen=True)
class Pictures:
    """The same picture again and again, as MJPEG: uint8, grey or BGR."""

    pixels: np.ndarray
    fps: float

    content_type = "multipart/x-mixed-replace; boundary=picture"

    @property
    def pieces(self) -> Iterator[tuple[float, bytes]]:
        data = cv2.imencode(".jpg", self.pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        return ((number / self.fps, head + data + b"\r\n") for number in itertools.count())


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, answers: Mapping[str, Live | Pictures | Redirection]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, 0), _Handler)
        self.answers = answers
        self.login: tuple[str, str] | None = None
        self.closing = threading.Event()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path)
        if self.server.login and not self._knows(self.server.login):
            self._send_head(
                401, {"WWW-Authenticate": 'Digest realm="{realm}", nonce="{nonce}", qop="auth"'.format(**CHALLENGE)}
            )
        elif answer is None:
            self._send_head(404, {})
        elif isinstance(answer, Redirection):
            self._send_head(answer.status, {"Location": answer.location})
        else:
            self._send_head(200, {"Content-Type": answer.content_type})
            self._send_pieces(answer.pieces)

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_pieces(self, pieces: Iterable[tuple[float, bytes]]) -> None:
        began_s = time.monotonic()
        try:
            for at_s, data in pieces:
                if self.server.closing.wait(max(0.0, began_s + at_s - time.monotonic())):
                    return
                self.wfile.write(data)
        except OSError:
            return  # the client has gone

    def _knows(self, login: tuple[str, str]) -> bool:
        digest = digest_of(self.headers.get("Authorization", ""))
        return is_right_digest(digest, self.command, self.path, login, challenge=CHALLENGE)


@contextmanager
def http_camera(
    answers: Mapping[str, Live | Pictures | Redirection],
    *,
    address: str = "127.0.0.1",
    login: tuple[str, str] | None = None,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """Answer the paths during the block; give the address and port. `tls`: files of a certificate and its key."""
    server = _Server(address, answers)
    server.login = login
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        try:
            yield f"{f'[{address}]' if ':' in address else address}:{server.server_address[1]}"
        finally:
            server.closing.set()

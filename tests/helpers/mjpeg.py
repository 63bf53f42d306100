"""An MJPEG camera over HTTP on a free loopback port, from the standard library."""

import base64
import http.server
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from tests.helpers.serving import serving


def _authorization(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


class MjpegCamera:
    """Sends numbered pictures of a `size`.

    `mode` is ok, still (the same picture), half (truncated JPEGs), stall or close. With `login` a user and password
    are required. With `path` all other paths get the status 404.
    """

    def __init__(self, *, login: tuple[str, str] | None = None, fps: float = 25.0, port: int = 0) -> None:
        self.mode = "ok"
        self.fps = fps
        self.size = (64, 48)
        self.path: str | None = None
        self.login = login
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                if camera.path not in (None, self.path):
                    self.send_error(404)
                    return
                if camera.login and self.headers.get("Authorization") != _authorization(camera.login):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                camera._send(self)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def _send(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        handler.end_headers()
        number = 0
        try:
            while self.mode != "close":
                if self.mode != "stall":
                    shade = 99 if self.mode == "still" else number % 250
                    data = cv2.imencode(".jpg", np.full((*self.size[::-1], 3), shade, np.uint8))[1].tobytes()
                    data = data[: len(data) // 2] if self.mode == "half" else data
                    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    handler.wfile.write(head.encode() + data + b"\r\n")
                    number += 1
                time.sleep(1 / self.fps)
        except OSError:
            return  # the client has gone

    @contextmanager
    def serving(self) -> Iterator["MjpegCamera"]:
        """Serve until the block ends."""
        with serving(self._server):
            try:
                yield self
            finally:
                self.mode = "close"

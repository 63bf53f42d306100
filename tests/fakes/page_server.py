"""Serves the page and the API of a made-up house over HTTP, as `perceptd page` does."""

import json
import threading
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from daemon.web.http_server import SECURITY_HEADERS
from tests.fakes import page_data
from tests.fakes.page_api import PageApi

STATIC = Path(__file__).resolve().parents[2] / "daemon" / "web"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: PageApi

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def handle(self) -> None:
        """Serve one connection. A browser resets those that it needs no longer."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = [unquote(part) for part in url.path.strip("/").split("/")]
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if path[0] != "api":
            self._file(STATIC / url.path.lstrip("/") if url.path != "/" else STATIC / "static" / "index.html")
        elif self.api.role is None:
            self._json(401, {"reason": "log in first", "login": self.api.login})
        elif path[1:] == ["session"]:
            self._json(200, {"role": self.api.role, "has_password": True, "version": "0.9.0"})
        elif path[1:] == ["follow"]:
            self._follow()
        elif self.api.is_down:
            self._json(503, {"reason": "the daemon does not answer"})
        elif path[1] == "picture":
            self._picture(path[2], int(query["after"]))
        else:
            self._get(path[1:], query)

    def _get(self, path: list[str], query: dict[str, str]) -> None:
        try:
            answer = self.api.get(path, query)
        except (KeyError, StopIteration):
            self._json(404, {"reason": "this event is no longer here" + self.api.mark})
            return
        if isinstance(answer, tuple):
            self._bytes(*answer)
        else:
            self._json(200, answer)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.api.post([unquote(part) for part in self.path.strip("/").split("/")][1:], body)
        self._json(status, answer)

    def _file(self, path: Path) -> None:
        if path.suffix in TYPES and path.is_file():
            self._bytes(TYPES[path.suffix], path.read_bytes())
        else:
            self._json(404, {"reason": "there is no such file"})

    def _picture(self, stream: str, after: int) -> None:
        if stream == "kitchen":
            self._json(409, {"reason": "the camera of kitchen is closed" + self.api.mark})
            return
        extra = {"X-Sequence": str(after + 1), "X-Time": page_data.iso(page_data.DAY)}
        self._bytes("image/jpeg", self.api.picture(stream, after), extra)

    def _follow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with closing(self.api.follow()) as messages, suppress(OSError):
            for message in messages:
                self.wfile.write(message.encode())
                self.wfile.flush()

    def _json(self, status: int, value: Any) -> None:
        self._send(status, "application/json", b"" if value is None else json.dumps(value).encode(), {})

    def _bytes(self, kind: str, data: bytes, extra: dict[str, str] | None = None) -> None:
        wanted = self.headers.get("Range")
        if wanted is None:
            self._send(200, kind, data, {"Accept-Ranges": "bytes", **(extra or {})})
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        end = min(int(last) if last else len(data) - 1, len(data) - 1)
        self._send(206, kind, data[int(first) : end + 1], {"Content-Range": f"bytes {first}-{end}/{len(data)}"})

    def _send(self, status: int, kind: str, data: bytes, extra: dict[str, str]) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, **dict(SECURITY_HEADERS), "Cache-Control": "no-store", **extra}
        if status != 204:
            headers["Content-Length"] = str(len(data))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(data)


class PageServer:
    """Serves a house on a port of this machine, until it is closed."""

    def __init__(self, api: PageApi) -> None:
        self.api = api
        handler = type("Handler", (_Handler,), {"api": api})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, name="page-fake")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

"""What an add-on asks of Home Assistant's Supervisor, with made-up answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "5f0c-token-of-supervisor"

# as the add-on "Mosquitto broker" registers itself
MQTT = {
    "addon": "core_mosquitto",
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "protocol": "3.1.1",
    "username": "addons",
    "password": "secret-of-addons",
}


class Supervisor:
    """Answers GET /services/mqtt with `status` and `answer`, to who has the token. `asked` are the paths."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status = 200
        self.answer: Any = {"result": "ok", "data": MQTT}
        self.asked: list[str] = []

    def knows_no_broker(self) -> None:
        self.status, self.answer = 400, {"result": "error", "message": "Service not enabled"}


@contextmanager
def supervisor(host: str = "127.0.0.1", port: int = 0) -> Iterator[Supervisor]:
    """Run it during the block."""
    server = ThreadingHTTPServer((host, port), _Handler)
    found = _Handler.supervisor = Supervisor(f"http://{host}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    supervisor: Supervisor

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        told = self.supervisor
        told.asked.append(self.path)
        status, answer = told.status, told.answer
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, answer = 401, {"result": "error", "message": "unauthorized"}
        elif self.path != "/services/mqtt":
            status, answer = 404, {"result": "error", "message": "Service does not exist"}
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

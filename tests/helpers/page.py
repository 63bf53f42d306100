"""A page that serves in this process before a fake daemon, and requests of a browser or an attacker to it."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.history.playback import ClipJobs
from daemon.web.accounts import Accounts, Role
from daemon.web.accounts_file import AccountsFile
from daemon.web.http_server import Limits
from daemon.web.page import build
from daemon.web.passwords import hash_password
from tests.fakes.local_daemon import FakeDaemon

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return self.json["reason"]


class PageUnderTest:
    """Requests to a page at a port of this machine."""

    def __init__(
        self, port: int, state: Path, daemon: FakeDaemon, thread: threading.Thread, context: ssl.SSLContext | None
    ) -> None:
        self.port, self.state, self.daemon, self.thread = port, state, daemon, thread
        self.accounts = Accounts(state)
        self._context = context

    @property
    def origin(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def is_serving(self) -> bool:
        return self.thread.is_alive()

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S, (source, 0))

    def ask(
        self,
        method: str,
        path: str,
        content: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        cookie: str | None = None,
    ) -> Reply:
        """Send a request as a browser on the page does, unless `headers` say otherwise; an empty one is left out."""
        sent = {"Host": f"127.0.0.1:{self.port}"}
        if method == "POST":
            sent |= {"Origin": self.origin, "Content-Type": "application/json"}
        if cookie is not None:
            sent["Cookie"] = f"perceptd_{self.port}={cookie}"
        sent |= headers or {}
        body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
        if method == "POST":
            sent.setdefault("Content-Length", str(len(body)))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        connection.sock = self.connect()
        if self._context is not None:
            connection.sock = self._context.wrap_socket(connection.sock, server_hostname="127.0.0.1")
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, raw: bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes, and return all that comes until the page closes the connection."""
        with self.connect(source) as connected:
            connected.sendall(raw)
            return rest_of(connected)

    def set_password(self, password: str, role: Role = "owner") -> None:
        """Store a password that is cheap to check."""
        store_password(self.state, password, role)

    def session(self, role: Role = "owner") -> str:
        """Return the cookie of somebody who is logged in."""
        return self.accounts.begin_session(role, "127.0.0.1")


def store_password(directory: Path, password: str, role: Role) -> None:
    """Store a password that is cheap to check: the real cost is a second on a busy machine."""
    with AccountsFile(directory).change() as content:
        content["passwords"][role] = hash_password(password, {"n": 2, "r": 1, "p": 1})


def rest_of(connected: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    received = b""
    try:
        while part := connected.recv(65536):
            received += part
    except ConnectionError:
        pass
    return received


def no_job(_clip: str, _target: str) -> None:
    raise AssertionError("nothing is rendered here")


NO_JOBS = ClipJobs(no_job, no_job)


@contextmanager
def serving_page(
    directory: Path,
    first: Mapping[str, Any] | None = None,
    *,
    jobs: ClipJobs = NO_JOBS,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    idle_exit_s: float | None = None,
    context: ssl.SSLContext | None = None,
) -> Iterator[PageUnderTest]:
    """Serve a page during the block; `first` is the section `page` of its config."""
    state = directory / "page"
    with FakeDaemon(directory / "local.sock").serving() as daemon, socket.create_server(("127.0.0.1", 0)) as listening:
        page = build(daemon.path, state, [listening], jobs, first=first or {}, idle_exit_s=idle_exit_s, limits=limits)
        thread = threading.Thread(target=page.serve, name="page", daemon=True)
        thread.start()
        try:
            yield PageUnderTest(listening.getsockname()[1], state, daemon, thread, context)
        finally:
            page.stop()
            thread.join(TIMEOUT_S)
        assert not thread.is_alive()

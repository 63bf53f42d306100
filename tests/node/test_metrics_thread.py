"""Who reads metrics, and how: the token, requests that are wrong or slow, and an address that is in use."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.metrics import MetricsConfig
from daemon.node.metrics_input import Observed
from daemon.node.metrics_server import MAX_REQUEST_BYTES
from daemon.node.metrics_thread import MetricsThread
from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port
from tests.node.test_metrics import a_health, observed

STOP_S = 10.0


class Node:
    """What the thread takes its metrics from."""

    def __init__(self) -> None:
        self.told: tuple[str | None, str | None] = None, None
        self.reads = 0

    def tell(self, trouble: str | None, reload_problem: str | None) -> None:
        self.told = trouble, reload_problem

    def observe(self) -> Observed:
        self.reads += 1
        return observed(a_health())


class Served:
    """A thread that serves metrics on a free port."""

    def __init__(self, token_file: Path | None = None, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.node = Node()
        self.changes = 0
        config = MetricsConfig(
            listen=f"127.0.0.1:{self.port}", token_file=None if token_file is None else str(token_file)
        )
        self.thread = MetricsThread(config, self.node, self._change, retry_s=0.05)

    def _change(self) -> None:
        self.changes += 1

    def __enter__(self) -> "Served":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        assert self.thread.close(STOP_S)

    def connect(self) -> socket.socket:
        wait_until(self._takes_connections, "the address is listened on")
        return socket.create_connection(("127.0.0.1", self.port), timeout=STOP_S)

    def _takes_connections(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, request: bytes) -> bytes:
        """Send a request as it is; return all that comes back."""
        with self.connect() as connection:
            connection.sendall(request)
            return _all_of(connection)

    def get(self, path: str = "/metrics", *headers: str) -> bytes:
        return self.ask("\r\n".join([f"GET {path} HTTP/1.1", "Host: node", *headers, "", ""]).encode("latin-1"))


def _all_of(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


def test_metrics_are_read_and_nothing_else(served: Served) -> None:
    head, _, body = served.get().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200") and b"Server: perceptd" in head
    assert b'perceptd_recognitions_total{stream="door"} 11.0' in body
    assert served.get("/metrics?a=b").startswith(b"HTTP/1.0 200")
    assert served.get("/").startswith(b"HTTP/1.0 404") and served.get("/metrics/../etc").startswith(b"HTTP/1.0 404")
    head, _, body = served.ask(b"HEAD /metrics HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200") and body == b""
    assert served.ask(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").startswith(b"HTTP/1.0 501")
    assert b"400" in served.ask(b"not a request of HTTP\r\n\r\n")


def test_whoever_presents_no_token_reads_nothing(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    with Served(file) as served:
        for headers in ([], ["Authorization: Bearer s3cre"], ["Authorization: s3cret"], ["Authorization: Bearer \xff"]):
            head, _, body = served.get("/metrics", *headers).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.0 401") and b"WWW-Authenticate: Bearer" in head and body == b""
        assert served.node.reads == 0
        assert served.get("/metrics", "Authorization: Bearer s3cret").startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(("content", "problem"), [(None, "cannot be read"), ("\n", "its first line is empty")])
def test_without_its_token_nothing_is_served(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with Served(file) as served:
        wait_until(lambda: served.thread.problem is not None, "the problem is told")
        assert problem in (served.thread.problem or "") and str(file) in (served.thread.problem or "")
        file.write_text("s3cret")
        assert served.get("/metrics", "Authorization: Bearer s3cret").startswith(b"HTTP/1.0 200")
        assert served.thread.problem is None and served.changes == 2


def test_an_address_in_use_is_told_and_used_once_it_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, Served(port=other.getsockname()[1]) as served:
        wait_until(lambda: served.thread.problem is not None, "the problem is told")
        assert "Address already in use" in (served.thread.problem or "")
        other.close()
        assert served.get().startswith(b"HTTP/1.0 200")
        wait_until(lambda: served.thread.problem is None, "the problem is gone")


def test_a_reader_that_is_silent_slow_or_gone_keeps_no_other_one_for_long(served: Served) -> None:
    with served.connect() as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        served.connect().close()
        assert served.get().startswith(b"HTTP/1.0 200")
        assert _all_of(slow) == b""


def test_a_request_without_end_is_cut_off(served: Served) -> None:
    with served.connect() as connection:
        sender = threading.Thread(target=_send_for_ever, args=(connection,))
        sender.start()
        sender.join(STOP_S)
        assert not sender.is_alive()
    assert served.get().startswith(b"HTTP/1.0 200")


def _send_for_ever(connection: socket.socket) -> None:
    try:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        for number in range(1_000_000):
            connection.sendall(f"X-{number}: {'x' * (MAX_REQUEST_BYTES // 20)}\r\n".encode())
    except OSError:
        pass


def test_what_only_the_node_knows_is_handed_on(served: Served) -> None:
    served.thread.tell("fusion hangs", "line 3")
    assert served.node.told == ("fusion hangs", "line 3")


def test_it_stops_beside_a_reader_that_says_nothing() -> None:
    with Served() as served, served.connect() as silent:
        silent.sendall(b"GET ")
        wait_until(lambda: served.thread.progress.snapshot().alive, "the thread runs")
        assert served.thread.close(STOP_S)

"""The server of the local socket: its bounds, its refusals and its end, with requests that a test controls."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.core.errors import LocalError
from daemon.core.sealed import sealed_memory
from daemon.mqtt.session import Session
from daemon.node.local_following import Following
from daemon.node.local_server import MAX_CONNECTIONS, MAX_FOLLOWERS, LocalServer
from daemon.node.local_socket import LocalSocket
from daemon.runtime.local import Answer, LocalClient
from tests.helpers.processes import open_descriptors
from tests.helpers.promised import within

SOON_S = 10.0


@dataclass
class FakeRequests:
    """Implements Requests: `echo` answers at once, `wait` once the server stops, `fail` raises."""

    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def answer(self, content: dict[str, Any], stop: threading.Event) -> Answer:
        """Return what was asked."""
        if content["do"] == "wait":
            self.waiting.release()
            stop.wait(SOON_S)
            raise LocalError("refused", "the daemon is stopping")
        if content["do"] == "fail":
            raise ValueError("a fault of the program")
        return Answer(content, sealed_memory(b"x"))


@dataclass
class Running:
    """A server at a path of its own."""

    server: LocalServer
    path: Path
    session: Session
    requests: FakeRequests
    is_closed: bool = False

    @property
    def client(self) -> LocalClient:
        return LocalClient(self.path)

    def connect(self, sent: bytes = b"") -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(SOON_S)
        connected.connect(str(self.path))
        connected.sendall(sent)
        return connected


@contextmanager
def served(directory: Path, request_s: float = 60.0) -> Iterator[Running]:
    session, requests, path = Session(MqttConfig(), "node", directory), FakeRequests(), directory / "local.sock"
    with LocalSocket() as source:
        server = LocalServer(source, path, requests, Following(session, {}), request_s=request_s)
        server.start()
        running = Running(server, path, session, requests)
        yield running
        assert running.is_closed or server.close(SOON_S)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with served(tmp_path) as running:
        yield running


def request(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def test_an_answer_and_its_descriptor_arrive_and_nothing_stays_open(running: Running) -> None:
    before = len(open_descriptors())
    for _ in range(5):
        answer = running.client.ask("echo", text="Tür")
        assert answer.result == {"do": "echo", "text": "Tür"}
        assert answer.descriptor is not None
        os.close(answer.descriptor)
    within(SOON_S, lambda: len(open_descriptors()) <= before, "all connections are closed")


def test_a_fault_of_the_program_is_refused_and_logged(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LocalError, match="its log says why"):
        running.client.ask("fail")
    assert "a fault of the program" in caplog.text


def test_more_programs_than_there_are_places_are_refused_at_once(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    silent = [running.connect() for _ in range(MAX_CONNECTIONS)]
    with pytest.raises(LocalError, match="busy: 16 programs ask already; try again"):
        running.client.ask("echo")
    assert f"process {os.getpid()} of user {os.getuid()}" in caplog.text
    silent.pop().close()
    within(SOON_S, lambda: is_answered(running.client), "a place is free")
    for each in silent:
        each.close()


def is_answered(client: LocalClient) -> bool:
    with suppress(LocalError):
        os.close(client.ask("echo").descriptor or -1)
        return True
    return False


def test_followers_have_places_of_their_own(running: Running) -> None:
    followers = [running.connect(request(b'{"do":"follow"}')) for _ in range(MAX_FOLLOWERS)]
    for each in followers:
        assert b'"ok":true' in each.recv(100)
    with pytest.raises(LocalError, match="8 programs follow already"):
        next(running.client.follow())
    assert is_answered(running.client)
    for each in followers:
        each.close()
    # they are noticed when they are told something
    within(SOON_S, lambda: published(running) is None, "nobody follows")
    with running.connect(request(b'{"do":"follow"}')) as again:
        assert b'"ok":true' in again.recv(100)
        assert published(running) is not None
        assert b'"topic":"health"' in again.recv(1000)


def published(running: Running) -> object:
    running.session.publish("health", b"{}", retain=True)
    return running.session.listener


def test_a_slow_program_loses_its_connection(tmp_path: Path) -> None:
    with served(tmp_path, request_s=0.05) as running:
        for sent in (b"", struct.pack("!I", 100) + b"{"):
            with running.connect(sent) as slow, suppress(ConnectionError):
                assert slow.recv(100) == b""


def test_it_ends_whatever_its_connections_do(running: Running) -> None:
    threads = [threading.Thread(target=waited, args=(running.client,)) for _ in range(3)]
    for thread in threads:
        thread.start()
        running.requests.waiting.acquire()
    silent, follower = running.connect(), running.connect(request(b'{"do":"follow"}'))
    assert b'"ok":true' in follower.recv(100)
    running.is_closed = running.server.close(SOON_S)
    assert running.is_closed
    for thread in threads:
        thread.join()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("local")]
    silent.close()
    follower.close()


def waited(client: LocalClient) -> None:
    with suppress(LocalError):
        client.ask("wait")

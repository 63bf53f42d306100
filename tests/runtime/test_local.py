"""Messages on the local socket: whole or refused, with at most one descriptor, and never for longer than a deadline."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from daemon.core.errors import LocalError
from daemon.runtime.local import Connection, InvalidMessage, LocalClient, Message
from tests.helpers.processes import open_descriptors

MOST_BYTES = 1000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        yield one, other


def test_a_message_and_its_descriptor_arrive(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"JPEG")
    sender, receiver = Connection(pair[0], MOST_BYTES), Connection(pair[1], MOST_BYTES, takes_descriptors=True)
    descriptor = os.open(tmp_path / "picture", os.O_RDONLY)
    sender.send({"ok": True, "text": "Tür"}, 1, descriptor)
    os.close(descriptor)
    message = receiver.receive(1)
    assert message is not None
    assert message.content == {"ok": True, "text": "Tür"}
    assert message.descriptor is not None
    assert not os.get_inheritable(message.descriptor)
    assert os.read(message.descriptor, 10) == b"JPEG"
    os.close(message.descriptor)


def test_several_messages_come_one_after_another(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = Connection(pair[0], MOST_BYTES), Connection(pair[1], MOST_BYTES)
    for number in range(3):
        sender.send({"number": number}, 1)
    assert [receiver.receive(1) for _ in range(3)] == [Message({"number": number}) for number in range(3)]
    pair[0].close()
    assert receiver.receive(1) is None


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (struct.pack("!I", MOST_BYTES + 1), "1001 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes"),
        (struct.pack("!I", 4) + b"null", "no JSON object"),
        (struct.pack("!I", 4) + b"\xff\xfe{}", "codec"),
        (struct.pack("!I", 900) + b"[" * 900, "Expecting value|recursion"),
        (struct.pack("!I", 0), "Expecting value"),
        (struct.pack("!I", 10) + b"{}", "within a message"),
        (b"\0\0", "within a message"),
    ],
)
def test_what_is_no_message_is_refused(pair: tuple[socket.socket, socket.socket], sent: bytes, problem: str) -> None:
    pair[0].sendall(sent)
    pair[0].shutdown(socket.SHUT_WR)
    with pytest.raises(InvalidMessage, match=problem):
        Connection(pair[1], MOST_BYTES).receive(1)


def test_a_deadline_is_that_of_the_whole_message(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].sendall(struct.pack("!I", 100) + b"{")
    with pytest.raises(TimeoutError):
        Connection(pair[1], MOST_BYTES).receive(0.05)
    with pytest.raises(TimeoutError):  # nobody reads
        Connection(pair[1], MOST_BYTES).send({"text": "x" * 4_000_000}, 0.05)


def test_no_unwanted_descriptor_stays_open(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    before = open_descriptors()
    with (tmp_path / "file").open("w") as file:
        message = struct.pack("!I", 2) + b"{}"
        socket.send_fds(pair[0], [message], [file.fileno()] * 5)
        socket.send_fds(pair[0], [message], [file.fileno()] * 5)
        socket.send_fds(pair[0], [struct.pack("!I", 4) + b"null"], [file.fileno()])
    assert Connection(pair[1], MOST_BYTES).receive(1) == Message({})
    taker = Connection(pair[1], MOST_BYTES, takes_descriptors=True)
    message = taker.receive(1)
    assert message is not None
    assert message.descriptor is not None
    os.close(message.descriptor)
    with pytest.raises(InvalidMessage):
        taker.receive(1)
    assert open_descriptors() == before


def test_a_daemon_that_does_not_answer_is_down(tmp_path: Path) -> None:
    client = LocalClient(tmp_path / "local.sock")
    with pytest.raises(LocalError, match=r"local\.sock: No such file") as raised:
        client.ask("describe")
    assert raised.value.kind == "down"
    with pytest.raises(LocalError, match="longer than the 107 bytes"):
        LocalClient(tmp_path / ("x" * 110)).ask("describe")


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b'{"ok":false,"reason":"no stream"}', "refused", "no stream"),
        (b'{"ok":false}', "refused", "without a reason"),
        (b"nonsense", "down", "Expecting value"),
        (None, "down", "has closed the connection"),
    ],
)
def test_an_answer_without_a_result_is_an_error(tmp_path: Path, answer: bytes | None, kind: str, text: str) -> None:
    path = tmp_path / "local.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        server = Thread(target=answer_once, args=(listener, answer))
        server.start()
        with pytest.raises(LocalError, match=text) as raised:
            LocalClient(path).ask("describe")
        server.join()
    assert raised.value.kind == kind


def answer_once(listener: socket.socket, answer: bytes | None) -> None:
    connected, _ = listener.accept()
    with connected:
        Connection(connected, MOST_BYTES).receive(5)
        if answer is not None:
            connected.sendall(struct.pack("!I", len(answer)) + answer)

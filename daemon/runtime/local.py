"""Messages on the local socket, by which programs of this machine ask the daemon. Light: the page imports it.

A message is its length, as 4 bytes in network order, and so many bytes of JSON with an object. At most one descriptor
comes with a message.
"""

import json
import os
import socket
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from daemon.core.errors import LocalError
from daemon.core.timing import NS_PER_S, monotonic_ns

MAX_REQUEST_BYTES = 512 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024

# the name by which systemd passes the socket
SOCKET_NAME = "local"
# the kernel takes no longer path for a socket
MAX_PATH_BYTES = 107

# the daemon tells a follower that it is alive; a follower waits for two of these messages and a half
ALIVE_EVERY_S = 10.0
SILENCE_S = 25.0

CONNECT_S = 2.0
ANSWER_S = 10.0
# requests whose answers take longer: they wait for an example, a fit, a child process
ANSWERS_S = {"command": 70.0, "judge": 70.0, "config_check": 100.0, "doctor": 130.0}

_LENGTH = struct.Struct("!I")
_DESCRIPTOR_BYTES = array("i").itemsize
_READ_BYTES = 64 * 1024


class InvalidMessage(ValueError):
    """The other side sent something that is no message, or too long a one. The connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message, and the descriptor that came with it, which is the receiver's to close."""

    content: dict[str, Any]
    descriptor: int | None = None


class Connection:
    """Messages over a connected socket. Used by one thread; `shut_down` may be called by any.

    It receives messages of at most `most_bytes`, and descriptors only if `takes_descriptors`. A deadline is that of a
    whole message. All methods raise OSError, TimeoutError included, when the connection has failed.
    """

    def __init__(self, connected: socket.socket, most_bytes: int, *, takes_descriptors: bool = False) -> None:
        self._socket = connected
        self._most_bytes = most_bytes
        self._takes_descriptors = takes_descriptors

    def send(self, content: dict[str, Any], deadline_s: float, descriptor: int | None = None) -> None:
        """Send a message. The descriptor stays the caller's to close."""
        text = json.dumps(content, separators=(",", ":")).encode()
        data = memoryview(_LENGTH.pack(len(text)) + text)
        until_ns = _until(deadline_s)
        beside = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))]
        while data:
            self._socket.settimeout(_left_s(until_ns))
            data = data[self._socket.sendmsg([data], beside) :]
            beside = []

    def receive(self, deadline_s: float) -> Message | None:
        """Wait for a message; return None when the other side has closed. Raises InvalidMessage and OSError."""
        until_ns = _until(deadline_s)
        descriptors: list[int] = []
        try:
            head = self._read(_LENGTH.size, until_ns, descriptors)
            if head is None:
                return None
            (length,) = _LENGTH.unpack(head)
            if length > self._most_bytes:
                raise InvalidMessage(f"a message of {length} bytes; at most {self._most_bytes} are accepted")
            text = self._read(length, until_ns, descriptors)
            content = None if text is None else json.loads(text.decode())
            if not isinstance(content, dict):
                raise InvalidMessage("no JSON object")
            return Message(content, descriptors.pop() if descriptors else None)
        except (ValueError, RecursionError) as error:
            raise InvalidMessage(str(error)) from error
        finally:
            for each in descriptors:
                os.close(each)

    def shut_down(self) -> None:
        """End what another thread sends or waits for."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _read(self, length: int, until_ns: int, descriptors: list[int]) -> bytes | None:
        """Return so many bytes; None: the other side has closed before them. Raises InvalidMessage within them."""
        data = bytearray()
        while len(data) < length:
            self._socket.settimeout(_left_s(until_ns))
            part = self._read_part(min(length - len(data), _READ_BYTES), descriptors)
            if not part:
                if data:
                    raise InvalidMessage("the connection ended within a message")
                return None
            data += part
        return bytes(data)

    def _read_part(self, most_bytes: int, descriptors: list[int]) -> bytes:
        if not self._takes_descriptors:  # the kernel closes those that come
            return self._socket.recv(most_bytes)
        part, beside, _, _ = self._socket.recvmsg(
            most_bytes, socket.CMSG_SPACE(_DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, data in beside:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array("i")
                received.frombytes(data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
                descriptors.extend(received)
        return part


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request, and the descriptor that belongs to it, which is the caller's to close."""

    result: dict[str, Any]
    descriptor: int | None = None


class LocalClient:
    """Asks the daemon of this machine. Thread-safe: each request has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ask(self, do: str, /, **arguments: Any) -> Answer:
        """Return the answer to a request.

        Raises LocalError: `down` when the daemon does not answer, `refused` with its reason.
        """
        with self._connect() as link:
            link.send_request(do, arguments)
            message = link.receive(ANSWERS_S.get(do, ANSWER_S))
        result = message.content.get("result")
        return Answer(result if isinstance(result, dict) else {}, message.descriptor)

    def follow(self) -> Iterator[dict[str, Any]]:
        """Yield the messages to a follower, until the caller closes this generator. Raises LocalError."""
        with self._connect() as link:
            link.send_request("follow", {})
            link.receive(ANSWER_S)
            while True:
                yield link.receive_news(SILENCE_S)

    def _connect(self) -> "_Link":
        if len(os.fsencode(self.path)) > MAX_PATH_BYTES:
            raise LocalError("down", f"{self.path} is longer than the {MAX_PATH_BYTES} bytes that a socket may have")
        try:
            connected = _connected(self.path)
        except OSError as error:
            raise LocalError("down", f"the daemon does not answer at {self.path}: {_reason(error)}") from error
        return _Link(Connection(connected, MAX_ANSWER_BYTES, takes_descriptors=True), self.path)


class _Link:
    """A connection to the daemon, whose failures are LocalErrors. A context manager."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection, self._path = connection, path

    def send_request(self, do: str, arguments: dict[str, Any]) -> None:
        """Send a request. A daemon that refuses the connection has answered already, and does not read."""
        try:
            self._connection.send({**arguments, "do": do}, ANSWER_S)
        except BrokenPipeError:
            return
        except OSError as error:
            raise self._down(_reason(error)) from error

    def receive(self, deadline_s: float) -> Message:
        """Return an answer, with its descriptor. Raises LocalError when there is none, and when it is a refusal."""
        message = self._next(deadline_s)
        if message.content.get("ok") is True:
            return message
        if message.descriptor is not None:
            os.close(message.descriptor)
        raise LocalError("refused", str(message.content.get("reason", "refused without a reason")))

    def receive_news(self, deadline_s: float) -> dict[str, Any]:
        """Return the next message to a follower. No descriptor belongs to it. Raises LocalError."""
        message = self._next(deadline_s)
        if message.descriptor is not None:
            os.close(message.descriptor)
        return message.content

    def _next(self, deadline_s: float) -> Message:
        try:
            message = self._connection.receive(deadline_s)
        except (OSError, InvalidMessage) as error:
            raise self._down(_reason(error)) from error
        if message is None:
            raise self._down("the daemon has closed the connection")
        return message

    def _down(self, reason: str) -> LocalError:
        return LocalError("down", f"the daemon does not answer at {self._path}: {reason}")

    def __enter__(self) -> "_Link":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def _connected(path: Path) -> socket.socket:
    """Return a socket that is connected to a path. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(CONNECT_S)
        made.connect(os.fspath(path))
    except BaseException:
        made.close()
        raise
    return made


def _until(deadline_s: float) -> int:
    return monotonic_ns() + round(deadline_s * NS_PER_S)


def _left_s(until_ns: int) -> float:
    """Return the seconds until a deadline. Raises TimeoutError after it."""
    left_ns = until_ns - monotonic_ns()
    if left_ns <= 0:
        raise TimeoutError("no answer in time")
    return left_ns / NS_PER_S


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

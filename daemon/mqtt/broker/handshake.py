"""Bounds a handshake as a whole: paho bounds only the wait for each byte of a websocket's handshake."""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class HandshakeDeadline:
    """Cuts a connection that is not set up in time. A context manager around the blocking set-up.

    A thread of its own, named `mqtt-handshake`, waits meanwhile.
    """

    def __init__(self, seconds: float) -> None:
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.name = "mqtt-handshake"
        self._timer.daemon = True

    def watch(self, sock: socket.socket) -> None:
        """Begin the time with a connected socket."""
        self._sock = sock.dup()  # paho may wrap the socket, which takes its descriptor
        self._timer.start()

    def __enter__(self) -> "HandshakeDeadline":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._sock is not None:
            self._timer.cancel()
            self._timer.join()
            self._sock.close()

    def _cut(self) -> None:
        if self._sock is not None:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

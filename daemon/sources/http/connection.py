"""A TCP or TLS connection whose every wait has a deadline and ends when it is no longer wanted."""

import contextlib
import io
import os
import select
import socket
import ssl
from threading import Event
from typing import Any

from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until

# How often `stop` is checked while no byte comes.
CHECK_STOP_S = 0.2


class Stopped(Exception):
    """The wait was ended, because `stop` is set."""


class NoAnswer(Exception):
    """The other side has sent or taken nothing for `waited_s` seconds."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"no answer for {waited_s:g} s")
        self.waited_s = waited_s


class DeadlineStream:
    """A connection with the methods of a socket that http.client uses.

    Connecting, each read and each write may wait `timeout_s` for the other side, and then raise NoAnswer. They raise
    Stopped soon after `stop` is set. Only the resolution of the host's name has no deadline of its own.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, timeout_s: float, stop: Event) -> None:
        """Connect. With `context` over TLS. Raises OSError when the host has no address that can be connected."""
        self.timeout_s = timeout_s
        self._stop = stop
        self._files = 0
        self._is_closed = False
        self._socket = self._connect(host, port)
        if context is not None:
            try:
                self._start_tls(context, host)
            except BaseException:
                self._socket.close()
                raise

    def sendall(self, data: bytes) -> None:
        """Send all bytes."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(self._socket, select.POLLOUT)
            except ssl.SSLWantReadError:
                self._wait(self._socket, select.POLLIN)

    def receive_into(self, buffer: Any) -> int:
        """Read at least one byte into the buffer. Return how many; 0 at the end of the stream."""
        while True:
            # here too, because nothing is waited for where the other side sends faster than is read
            if self._stop.is_set():
                raise Stopped
            try:
                return self._socket.recv_into(buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(self._socket, select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(self._socket, select.POLLOUT)

    def makefile(self, _mode: str = "rb") -> io.BufferedReader:
        """Return a reader. The connection closes when it and all its readers are closed."""
        self._files += 1
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """Close the connection as soon as no reader is open."""
        self._is_closed = True
        self._close_unused()

    def abort(self) -> None:
        """Close the connection, even while a reader is open."""
        self._is_closed = True
        self._socket.close()

    def release(self) -> None:
        """Note that a reader was closed."""
        self._files -= 1
        self._close_unused()

    def _close_unused(self) -> None:
        if self._is_closed and not self._files:
            self._socket.close()

    def _connect(self, host: str, port: int) -> socket.socket:
        failure: Exception = OSError("has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.setblocking(False)
                # otherwise the body of a POST waits for the acknowledgement of its headers, for 40 ms
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(BlockingIOError):
                    connection.connect(address)
                self._wait(connection, select.POLLOUT)
                if number := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(number, os.strerror(number))
            except (OSError, NoAnswer) as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
            else:
                return connection
        raise failure

    def _start_tls(self, context: ssl.SSLContext, host: str) -> None:
        wrapped = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
        self._socket = wrapped
        while True:
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                self._wait(wrapped, select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(wrapped, select.POLLOUT)
            else:
                return

    def _wait(self, connection: socket.socket, event: int) -> None:
        poll = select.poll()
        poll.register(connection, event)
        timeout_s = self.timeout_s
        deadline_ns = monotonic_ns() + round(timeout_s * NS_PER_S)
        while not self._stop.is_set():
            rest_s = seconds_until(deadline_ns)
            if poll.poll(min(rest_s, CHECK_STOP_S) * 1000):
                return
            if rest_s == 0:
                raise NoAnswer(timeout_s)
        raise Stopped


class _Reader(io.RawIOBase):
    """What makefile() reads from."""

    def __init__(self, stream: DeadlineStream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.receive_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._stream.release()

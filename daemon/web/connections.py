"""The connections of browsers: one thread for each, all bounded in number and time.

cheroot's own threads are not used: a fixed number of them is held up by as many connections that send nothing.
"""

import logging
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from daemon.core.logs import rate_limited_logger
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.web.attempts import network_of
from daemon.web.guard import Trust
from daemon.web.http_server import Connection, HttpServer, Limits

log = rate_limited_logger(__name__)

LOOK_EVERY_S = 0.5
STOP_S = 3.0
# what a visitor still sends after the last answer is read for so long
LINGER_S = 1.0
LINGER_BYTES = 64 * 1024

# answers to slow readers wait here, not without bound in the kernel
SEND_BUFFER_BYTES = 256 * 1024
# a telephone that has gone is given up after this time
GONE_MS = 30_000


class Connections:
    """Accepts connections on its caller's thread, and serves each in a thread of its own."""

    def __init__(
        self,
        listening: Sequence[socket.socket],
        server: HttpServer,
        trust: Callable[[], Trust],
        idle_exit_s: float | None,
    ) -> None:
        """`trust` tells whom to trust now. With `idle_exit_s` the serving ends when nobody has come for so long."""
        self._listening = listening
        self._server = server
        self._limits = server.limits
        self._trust = trust
        self._idle_exit_s = idle_exit_s
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, tuple[Connection | None, str]] = {}
        self._stop_read, self._stop_write = socket.socketpair()
        self._used_ns = monotonic_ns()
        self.refused = 0

    def serve(self) -> None:
        """Serve until `stop` is called, or until nobody has come for long enough."""
        poll = select.poll()
        by_number = {listener.fileno(): listener for listener in self._listening}
        for listener in self._listening:
            listener.setblocking(False)
            poll.register(listener, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        is_stopped = False
        while not is_stopped and not self._is_idle():
            for number, _ in poll.poll(LOOK_EVERY_S * 1000):
                if number in by_number:
                    self._accept(by_number[number])
                else:
                    is_stopped = True
            self._end_late()
        self._close()

    def stop(self) -> None:
        """End `serve`; any thread and a signal handler may call this."""
        with suppress(OSError):
            self._stop_write.send(b"x")

    def _is_idle(self) -> bool:
        if self._idle_exit_s is None:
            return False
        with self._lock:
            if self._open:
                self._used_ns = monotonic_ns()
            return monotonic_ns() - self._used_ns > self._idle_exit_s * NS_PER_S

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, peer = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # without descriptors: the next round tries again
            log.warning("no connection could be accepted: %s", error)
            threading.Event().wait(LOOK_EVERY_S)
            return
        address = str(peer[0]).removeprefix("::ffff:")
        if self._is_full(address):
            self.refused += 1
            log.warning("too many connections to the page; one from %s was closed", address)
            connected.close()
            return
        thread = threading.Thread(
            target=self._serve_one, args=(connected, (address, int(peer[1]))), name="page-connection", daemon=True
        )
        with self._lock:
            self._open[thread] = (None, address)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no room for another thread
            log.warning("a connection to the page was closed: %s", error)
            with self._lock:
                del self._open[thread]
            connected.close()

    def _is_full(self, address: str) -> bool:
        with self._lock:
            open_now = [each for _, each in self._open.values()]
        return is_full(open_now, address, self._limits, is_proxy=self._trust().is_proxy(address))

    def _serve_one(self, connected: socket.socket, peer: tuple[str, int]) -> None:
        me = threading.current_thread()
        try:
            connected.settimeout(self._limits.progress_s)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MS)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            if self._server.ssl_adapter is not None:
                connected = self._server.ssl_adapter.wrap_socket(
                    connected, server_side=True, do_handshake_on_connect=False
                )
            connection = Connection(self._server, connected, peer)
            with self._lock:
                self._open[me] = (connection, peer[0])
            self._talk(connection)
        except (OSError, ssl.SSLError) as error:
            log.debug("a connection to the page has ended: %s", error)
        finally:
            with suppress(OSError):
                connected.close()
            with self._lock:
                del self._open[me]
                self._used_ns = monotonic_ns()

    def _talk(self, connection: Connection) -> None:
        """Answer the requests of one connection, until either side ends it."""
        try:
            wait_s = self._limits.first_byte_s
            while connection.has_input or _is_readable(connection.socket, wait_s):
                if not connection.communicate():  # type: ignore[no-untyped-call]
                    break
                connection.expect_within(None)
                wait_s = self._limits.keep_alive_s
        finally:
            _take_rest(connection.socket)
            with suppress(OSError):
                connection.close()

    def _end_late(self) -> None:
        now_ns = monotonic_ns()
        with self._lock:
            late = [connection for connection, _ in self._open.values() if connection and connection.is_late(now_ns)]
        for connection in late:
            connection.shut_down()

    def _close(self) -> None:
        with self._lock:
            threads = list(self._open)
            connections = [connection for connection, _ in self._open.values()]
        for connection in connections:
            if connection is not None:
                connection.shut_down()
        until_ns = monotonic_ns() + round(STOP_S * NS_PER_S)
        for thread in threads:
            thread.join(max(0.0, (until_ns - monotonic_ns()) / NS_PER_S))
        left = sum(thread.is_alive() for thread in threads)
        if left:
            logging.getLogger(__name__).info(
                "%d connections still wait for the daemon; they end with the process", left
            )


def is_full(open_now: Sequence[str], address: str, limits: Limits, *, is_proxy: bool) -> bool:
    """Return whether another connection of an address is too many, beside those that these addresses have. Pure."""
    if len(open_now) >= limits.connections:
        return True
    mine = network_of(address)
    return not is_proxy and sum(network_of(each) == mine for each in open_now) >= limits.of_one_address


def _take_rest(connected: socket.socket) -> None:
    """End the sending, and read what still comes: what is unread when a socket closes takes the answer with it."""
    until_ns = monotonic_ns() + round(LINGER_S * NS_PER_S)
    with suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_WR)
        while (left_ns := until_ns - monotonic_ns()) > 0:
            connected.settimeout(left_ns / NS_PER_S)
            if not connected.recv(LINGER_BYTES):
                return


def _is_readable(connected: socket.socket, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))

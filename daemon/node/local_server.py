"""Serves the local socket: programs of this machine ask the daemon, each on a connection with a thread of its own."""

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from daemon.core.errors import LocalError
from daemon.core.logs import rate_limited_logger
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.node.local_following import Following
from daemon.node.local_socket import LocalSocket
from daemon.runtime.heartbeat import NO_LIMIT_S, Heartbeat
from daemon.runtime.local import MAX_REQUEST_BYTES, Answer, Connection, InvalidMessage
from daemon.runtime.thread_loop import LoopThread

log = rate_limited_logger(__name__)

MAX_CONNECTIONS, MAX_FOLLOWERS = 16, 8

# A connection without a request is closed: it would take the place of another.
REQUEST_S = 10.0
# the other side reads at once, unless it was stopped
SEND_S = 5.0
# whoever is refused need not read why
REFUSE_S = 0.05

BUSY = f"busy: {MAX_CONNECTIONS} programs ask already; try again"
TOO_MANY_FOLLOW = f"{MAX_FOLLOWERS} programs follow already"
FAILED = "the daemon could not do this; its log says why"


class Requests(Protocol):
    """What the daemon answers. Used by several threads at once."""

    def answer(self, content: dict[str, Any], stop: threading.Event) -> Answer:
        """Return the answer to a request. Raises LocalError when it is refused.

        Waits end soon after `stop` is set. Whoever asks closes the descriptor of the answer.
        """


class LocalServer:
    """One thread, named `local`, takes connections; each has a thread of its own while it is open.

    A connection that sends nonsense, or that is slow, is closed. Nothing else waits for it. Without a listening socket
    there is no thread.
    """

    def __init__(
        self,
        source: LocalSocket,
        path: Path,
        requests: Requests,
        following: Following,
        *,
        request_s: float = REQUEST_S,
    ) -> None:
        """`path` is that of the daemon's own socket. A request comes within `request_s`."""
        self._request_s = request_s
        self._source, self._path = source, path
        self._requests, self._following = requests, following
        self._stop = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._asking = self._following_now = 0
        self._numbers = count(1)
        self._listener: socket.socket | None = None
        self.progress = Heartbeat("local")
        self.progress.end()
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Begin to listen. Raises OSError where the system has room for no more threads."""
        self._listener = self._source.listener(self._path)
        if self._listener is not None:
            self._listener.setblocking(False)
            self._thread.start()

    def close(self, deadline_s: float) -> bool:
        """End all connections and the thread; return whether they ended within the deadline. The socket stays open."""
        until_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        self._stop.set()
        os.eventfd_write(self._wake, 1)
        has_ended = self._thread.join(deadline_s)
        self._following.close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now:
            connection.shut_down()
        for thread in open_now.values():
            thread.join(seconds_until(until_ns))
            has_ended = has_ended and not thread.is_alive()
        if has_ended:
            os.close(self._wake)
        return has_ended

    def _run(self) -> None:
        listener = self._listener
        if listener is None:
            return
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._stop.is_set():
            self.progress.mark(NO_LIMIT_S)  # it waits for somebody to come
            poll.poll()
            self.progress.mark()
            if not self._stop.is_set():
                with suppress(BlockingIOError, ConnectionError):
                    self._take(listener.accept()[0])

    def _take(self, connected: socket.socket) -> None:
        connection = Connection(connected, MAX_REQUEST_BYTES)
        with self._lock:
            is_full = self._asking >= MAX_CONNECTIONS
            if not is_full:
                self._asking += 1
        if is_full:
            log.warning("refused a program of this machine, %s: %s", _peer(connected), BUSY)
            self._turn_away(connection, BUSY)
            return
        name = f"local-{next(self._numbers)}"
        thread = threading.Thread(target=self._serve, args=(connection, _peer(connected)), name=name, daemon=True)
        with self._lock:
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system has room for no more threads
            log.warning("a program of this machine gets no answer: %s", error)
            self._end(connection)

    def _turn_away(self, connection: Connection, reason: str) -> None:
        with suppress(OSError):
            connection.send(_refusal(reason), REFUSE_S)
        connection.close()

    def _serve(self, connection: Connection, peer: str) -> None:
        try:
            while not self._stop.is_set() and (message := connection.receive(self._request_s)) is not None:
                if message.content.get("do") == "follow":
                    self._tell(connection)
                    return
                self._answer(connection, message.content, peer)
        except InvalidMessage as error:
            log.warning("closed the connection of a program of this machine, %s: %s", peer, clean(str(error)))
            self._refuse(connection, str(error))
        except OSError:  # it has gone, is too slow, or the daemon stops
            pass
        except Exception:
            log.exception("a request of a program of this machine failed")
        finally:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._asking -= 1
            self._connections.pop(connection, None)

    def _answer(self, connection: Connection, content: dict[str, Any], peer: str) -> None:
        try:
            answer = self._requests.answer(content, self._stop)
        except LocalError as error:
            log.info("refused a request of a program of this machine, %s: %s", peer, clean(str(error), 200))
            connection.send(_refusal(str(error)), SEND_S)
            return
        except Exception:
            log.exception("a request of a program of this machine failed")
            connection.send(_refusal(FAILED), SEND_S)
            return
        try:
            connection.send({"ok": True, "result": answer.result}, SEND_S, answer.descriptor)
        finally:
            if answer.descriptor is not None:
                os.close(answer.descriptor)

    def _tell(self, connection: Connection) -> None:
        """Tell a follower what happens until it has gone, or is too slow."""
        with self._place_of_follower() as is_free:
            if not is_free:
                self._refuse(connection, TOO_MANY_FOLLOW)
                return
            follower = self._following.begin()
            try:
                connection.send({"ok": True, "result": {}}, SEND_S)
                for messages in self._following.messages(follower):
                    if self._stop.is_set():
                        return
                    for message in messages:
                        connection.send(message, SEND_S)
            finally:
                self._following.end(follower)

    @contextmanager
    def _place_of_follower(self) -> Iterator[bool]:
        """Count a connection as that of a follower, if there is room; it then takes no place of those that ask."""
        with self._lock:
            is_free = self._following_now < MAX_FOLLOWERS
            self._following_now += is_free
            self._asking -= is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._following_now -= is_free
                self._asking += is_free

    def _refuse(self, connection: Connection, reason: str) -> None:
        with suppress(OSError):
            connection.send(_refusal(reason), REFUSE_S)


def _refusal(reason: str) -> dict[str, Any]:
    return {"ok": False, "reason": reason}


def _peer(connected: socket.socket) -> str:
    """Return which process is at the other end, for the log."""
    credentials = struct.Struct("3i")
    try:
        pid, user, _ = credentials.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    except OSError:
        return "which has gone"
    return f"process {pid} of user {user}"

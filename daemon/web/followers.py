"""Server-sent events: what the daemon tells while somebody looks."""

import json
import threading
from collections.abc import Callable, Iterator

from daemon.core.errors import LocalError
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.web.accounts import Role
from daemon.web.daemon_link import DaemonClient

# the daemon has room for eight followers of all programs; viewers cannot take the places of the owner
MOST = 6
MOST_VIEWERS = 3
# the daemon is asked again after this time
RETRY_S = 2.0
# whether the visitor is still logged in is looked at so often
LOOK_EVERY_S = 5.0


class Followers:
    """Those who look now. Thread-safe."""

    def __init__(self, client: DaemonClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._roles: list[Role] = []
        self._stopping = threading.Event()

    def enter(self, role: Role) -> bool:
        """Take a place; return whether there was one. `stream` gives it back."""
        with self._lock:
            if len(self._roles) >= MOST or (role == "viewer" and self._roles.count("viewer") >= MOST_VIEWERS):
                return False
            self._roles.append(role)
            return True

    def stream(self, role: Role, is_logged_in: Callable[[], bool]) -> "Stream":
        """Return the events for one who has entered, until he leaves, is logged out, or the page stops."""
        return Stream(self._events(is_logged_in), self, role)

    def leave(self, role: Role) -> None:
        """Give a place back."""
        with self._lock:
            self._roles.remove(role)

    def stop(self) -> None:
        """End all of them at their next message."""
        self._stopping.set()

    def _events(self, is_logged_in: Callable[[], bool]) -> Iterator[bytes]:
        # before the daemon has answered, so that the browser knows that the page has
        yield b"retry: 2000\n\n"
        looked_ns = monotonic_ns()
        while not self._stopping.is_set():
            try:
                for message in self._client.follow():
                    if self._stopping.is_set():
                        return
                    if monotonic_ns() - looked_ns > LOOK_EVERY_S * NS_PER_S:
                        looked_ns = monotonic_ns()
                        if not is_logged_in():
                            return
                    yield _event(message)
                reason = "the daemon has closed the connection"
            except LocalError as error:
                reason = str(error)
            yield _event({"reason": reason}, "down")
            self._stopping.wait(RETRY_S)
            if not is_logged_in():
                return


class Stream:
    """An iterator over events, which gives its place back when it is closed, also before its first event."""

    def __init__(self, events: Iterator[bytes], followers: Followers, role: Role) -> None:
        self._events = events
        self._followers: Followers | None = followers
        self._role = role

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> bytes:
        return next(self._events)

    def close(self) -> None:
        """Leave."""
        followers, self._followers = self._followers, None
        if followers is not None:
            followers.leave(self._role)


def _event(content: object, kind: str | None = None) -> bytes:
    name = "" if kind is None else f"event: {kind}\n"
    return f"{name}data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n".encode(
        "utf-8", "surrogatepass"
    )

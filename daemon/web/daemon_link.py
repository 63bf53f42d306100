"""What the page asks the daemon, bounded."""

import threading
from collections.abc import Iterator
from typing import Any, Protocol

from daemon.core.errors import LocalError
from daemon.runtime.local import Answer

# the daemon answers 16 requests at a time, of all programs
MOST_AT_ONCE = 12
WAIT_S = 5.0


class DaemonClient(Protocol):
    """A client of the daemon's local socket."""

    def ask(self, do: str, /, **arguments: Any) -> Answer:
        """Return the answer to a request. Raises LocalError."""

    def follow(self) -> Iterator[dict[str, Any]]:
        """Yield what the daemon tells. Raises LocalError."""


class Daemon:
    """Asks the daemon for any thread, at most so many requests at once."""

    def __init__(self, client: DaemonClient) -> None:
        self.client = client
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)

    def ask(self, do: str, /, **arguments: Any) -> Answer:
        """Return the answer to a request. Raises LocalError."""
        if not self._slots.acquire(timeout=WAIT_S):
            raise LocalError("down", "the page has too many requests to the daemon; try again")
        try:
            return self.client.ask(do, **arguments)
        finally:
            self._slots.release()

"""What the page asks the daemon, bounded."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

from daemon.core.errors import LocalError
from daemon.runtime.local import Answer

# the daemon answers 16 requests at a time, of all programs
MOST_AT_ONCE = 12
# pictures wait for their camera, and leave room for other requests
MOST_PICTURES = 8
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
        self._pictures = threading.BoundedSemaphore(MOST_PICTURES)

    def ask(self, do: str, /, **arguments: Any) -> Answer:
        """Return the answer to a request. Raises LocalError."""
        with ExitStack() as taken:
            for slots in (self._pictures, self._slots) if do == "picture" else (self._slots,):
                if not slots.acquire(timeout=WAIT_S):
                    raise LocalError("down", "the page has too many requests to the daemon; try again")
                taken.callback(slots.release)
            return self.client.ask(do, **arguments)

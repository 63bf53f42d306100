"""The request to stop the running node, made by a signal or by a bundle that needs other sources."""

from queue import Empty, SimpleQueue


class StopRequest:
    """Carries requests to the thread that runs the node. Any thread and any signal handler may ask.

    It is a queue and no Event: a signal handler runs on the waiting thread, which may hold an Event's lock.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[None] = SimpleQueue()
        self._is_stopping = False
        self.restarts = False

    def begin(self) -> None:
        """Forget earlier requests to restart: a node begins to run."""
        self._is_stopping = self.restarts = False

    def stop(self) -> None:
        """Ask the node to stop."""
        self._requests.put(None)

    def restart(self) -> None:
        """Ask the node to stop, so that another node runs in the same process. Ignored once the node stops."""
        if not self._is_stopping:
            self.restarts = True
            self._requests.put(None)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a request; return whether one came within the time."""
        try:
            self._requests.get(timeout=timeout_s)
        except Empty:
            return False
        return True

    def close(self) -> None:
        """Ignore requests to restart from now on: the node stops."""
        self._is_stopping = True

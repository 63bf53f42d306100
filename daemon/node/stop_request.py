"""The requests to stop or restart the running node, made by a signal or by a bundle that needs other sources."""

from queue import Empty, SimpleQueue

from daemon.core.records import EndedBy


class StopRequest:
    """Carries requests to the thread that runs the node. Any thread and any signal handler may ask.

    It is a queue and no Event: a signal handler runs on the waiting thread, which may hold an Event's lock.
    A restart runs another node in the same process; `is_final` says that no node is to run any more.
    """

    def __init__(self) -> None:
        self._requests: SimpleQueue[None] = SimpleQueue()
        self._is_stopping = self._asks_reload = False
        self._restarts_by: EndedBy | None = None
        self.is_final = False

    def begin(self) -> None:
        """Forget earlier requests to restart: a node begins to run."""
        self._is_stopping = False
        self._restarts_by = None

    def stop(self) -> None:
        """Ask the node to stop."""
        self.is_final = True
        self._requests.put(None)

    def restart(self, by: EndedBy) -> None:
        """Ask the node to stop, so that another node runs. Ignored once the node stops.

        `by` is what ends the events: `bundle` or `reload`. A reload takes over another bundle too.
        """
        if not self._is_stopping and self._restarts_by != "reload":
            self._restarts_by = by
            self._requests.put(None)

    def ask_reload(self) -> None:
        """Ask the node to read the config again."""
        self._asks_reload = True
        self._requests.put(None)

    def take_reload(self) -> bool:
        """Return whether somebody asked to read the config again since the last call."""
        asked, self._asks_reload = self._asks_reload, False
        return asked

    def wait(self, timeout_s: float) -> bool:
        """Wait for a request of any kind, or until the time is over; return whether the node is to stop."""
        try:
            self._requests.get(timeout=timeout_s)
            while True:  # a flood of signals is one request
                self._requests.get_nowait()
        except Empty:
            return self.is_final or self._restarts_by is not None

    def close(self) -> None:
        """Ignore requests to restart from now on: the node stops."""
        self._is_stopping = True

    @property
    def restarts(self) -> bool:
        """Whether another node is to run after this one."""
        return self._restarts_by is not None and not self.is_final

    @property
    def ended_by(self) -> EndedBy:
        """The reason with which the events end that are open when the node stops."""
        return self._restarts_by if self._restarts_by is not None and not self.is_final else "stopped"

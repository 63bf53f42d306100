"""The thread `metrics`: serves metrics where the config asks for them, and tries again while it cannot."""

import ipaddress
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from daemon.config.metrics import MetricsConfig
from daemon.core.errors import Refused
from daemon.core.secret_files import read_secret
from daemon.node.metrics_input import Observed
from daemon.runtime.heartbeat import DISK_S, HANG_AFTER_S, IDLE_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

log = logging.getLogger(__name__)

# a name that is listened on may have to be looked up, and the token may lie on a slow disk
OPEN_S = DISK_S

RETRY_S = 10.0

OPEN_TO_ALL = "metrics.listen: %s is open to the network and asks for no token: set metrics.token_file"


class MetricsSource(Protocol):
    """What metrics are made of; MetricsInput in a node."""

    def tell(self, trouble: str | None, reload_problem: str | None) -> None:
        """Take what only the node's own loop knows, see Health."""

    def observe(self) -> Observed:
        """Return a snapshot. Runs on the thread `metrics`."""


class MetricsThread:
    """Serves the metrics of one node, from `start` until `close`. `problem` says why they are not served."""

    def __init__(
        self, config: MetricsConfig, source: MetricsSource, on_change: Callable[[], None], *, retry_s: float = RETRY_S
    ) -> None:
        """`on_change` is called when `problem` has changed. After a failure the next try comes after `retry_s`."""
        self._retry_s = retry_s
        self._config = config
        self._source = source
        self._on_change = on_change
        self._stop = threading.Event()
        self._end_wait: Callable[[], None] | None = None
        self.problem: str | None = None
        self.progress = Heartbeat("metrics")
        self._thread = LoopThread(self.progress, self._run)

    def start(self) -> None:
        """Begin to serve. Raises OSError where the system has room for no more threads."""
        if self._config.token_file is None and not _is_loopback(self._config.address[0]):
            log.warning(OPEN_TO_ALL, self._config.listen)
        self._thread.start()

    def tell(self, trouble: str | None, reload_problem: str | None) -> None:
        """Take what only the node's own loop knows, see Health."""
        self._source.tell(trouble, reload_problem)

    def close(self, deadline_s: float) -> bool:
        """Stop serving. Return whether the thread has ended within the deadline."""
        self._stop.set()
        if self._end_wait is not None:
            self._end_wait()
        return self._thread.join(deadline_s)

    def _run(self) -> None:
        # the libraries take memory that a node without metrics does not need
        from daemon.node.metrics_server import MetricsServer

        while not self._stop.is_set():
            self.progress.mark(OPEN_S)
            try:
                with MetricsServer(self._config.address, self._source.observe) as server:
                    server.require(self._token())
                    self._end_wait = server.stop
                    self._report(None)
                    while not self._stop.is_set():
                        self.progress.mark()
                        server.serve_one(IDLE_S)
            except Refused as error:
                self._report(str(error))
            except OSError as error:
                if self._stop.is_set():
                    return
                self._report(f"metrics.listen: cannot listen on {self._config.listen}: {error.strerror or error}")
            self.progress.mark(self._retry_s + HANG_AFTER_S)
            self._stop.wait(self._retry_s)

    def _token(self) -> str | None:
        """Return what a reader must present. Raises Refused."""
        path = self._config.token_file
        if path is None:
            return None
        token = read_secret(Path(path), "metrics.token_file")
        if not token:
            raise Refused(f"metrics.token_file = {path}: its first line is empty; write a token there")
        return token

    def _report(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            log.warning("%s; the daemon goes on and tries again", problem)
        elif problem is None:
            log.info("metrics are served on %s", self._config.listen)
        if problem != self.problem:
            self.problem = problem
            self._on_change()


class NoMetrics:
    """A node whose config asks for no metrics. It has no thread."""

    problem = None

    def __init__(self) -> None:
        self.progress = Heartbeat("metrics")
        self.progress.end()

    def start(self) -> None:
        """Do nothing."""

    def tell(self, trouble: str | None, reload_problem: str | None) -> None:
        """Do nothing."""

    def close(self, deadline_s: float) -> bool:  # noqa: ARG002
        """Return that no thread runs."""
        return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

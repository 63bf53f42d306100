"""The processes of a container: the node, and the page while somebody looks. What systemd does for the service."""

import os
import select
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daemon.cli.container_watch import SILENCE_S, Watch
from daemon.core.errors import EXIT_DAMAGED, EXIT_REFUSED
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.runtime.passed_sockets import FIRST_DESCRIPTOR

# as in perceptd.service
RESTART_S = 1.0
STOP_S = 6.0
ABORT_S = 1.0
NO_RESTART = (0, EXIT_DAMAGED, EXIT_REFUSED)

# a page that cannot start must not be started in a circle
PAGE_AGAIN_S = 5.0

MOST_BYTES = 4096
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
# sets LISTEN_PID, which only the started process itself knows
WITH_PID = ("/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh")


@dataclass
class Started:
    """A process, with the signals that are to be sent to it later."""

    pid: int
    next_signals: list[tuple[int, signal.Signals]] = field(default_factory=list)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def end(self, first: signal.Signals, kill_after_s: float) -> None:
        """Ask it to end, and kill it later."""
        self.send(first)
        self.next_signals = [(_in(kill_after_s), signal.SIGKILL)]

    def send_due(self, now_ns: int) -> None:
        """Send what is due."""
        for at_ns, number in self.next_signals:
            if at_ns <= now_ns:
                self.send(number)
        self.next_signals = [(at_ns, number) for at_ns, number in self.next_signals if at_ns > now_ns]


class Processes:
    """Starts the node and watches it, and starts the page when somebody connects. `run` ends with the node.

    `listening` is where browsers connect. `directory` is for the socket of the node's reports.
    """

    def __init__(
        self,
        node: Sequence[str],
        page: Sequence[str],
        listening: socket.socket,
        directory: Path,
        environment: Mapping[str, str],
        restart_s: float = RESTART_S,
    ) -> None:
        self._commands = (node, page)
        self._listening = listening
        self._environment = dict(environment)
        self._restart_s = restart_s
        self._reports_path = directory / "notify"
        self._reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._node: Started | None = None
        self._page: Started | None = None
        self._watch = Watch(0)
        self._node_at_ns: int | None = monotonic_ns()
        self._page_at_ns = monotonic_ns()
        self._is_stopping = False
        self._code = 0

    def run(self) -> int:
        """Run until the node has ended for good; return its exit code. It runs on the main thread."""
        self._reports_path.unlink(missing_ok=True)
        self._reports.bind(os.fspath(self._reports_path))
        self._reports_path.chmod(0o600)
        wake_up, woken = socket.socketpair()
        for each in (wake_up, woken):
            each.setblocking(False)
        signal.set_wakeup_fd(wake_up.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, _ignore)
        while self._is_going_on():
            self._act(monotonic_ns())
            wanted = [woken, self._reports, *self._page_wanted()]
            readable, _, _ = select.select(wanted, [], [], self._wait_s(monotonic_ns()))
            if woken in readable:
                self._take_signals(woken.recv(MOST_BYTES))
            if self._reports in readable:
                self._watch.take(self._reports.recv(MOST_BYTES), monotonic_ns())
            if self._listening in readable:
                self._start_page()
        self._reports.close()
        self._reports_path.unlink(missing_ok=True)
        return self._code

    def _is_going_on(self) -> bool:
        return self._node is not None or self._page is not None or self._node_at_ns is not None

    def _act(self, now_ns: int) -> None:
        """Do what is due at this instant."""
        if self._node_at_ns is not None and self._node_at_ns <= now_ns:
            self._start_node(now_ns)
        if self._node is not None and not self._node.next_signals and (why := self._watch.problem(now_ns)) is not None:
            _say(f"{why}; it is started again")
            # on SIGABRT the node prints where each thread is
            self._node.end(signal.SIGABRT, ABORT_S)
        for each in filter(None, (self._node, self._page)):
            each.send_due(now_ns)

    def _wait_s(self, now_ns: int) -> float | None:
        due = [at_ns for each in (self._node, self._page) if each is not None for at_ns, _ in each.next_signals]
        if self._node is not None and not self._node.next_signals:
            due.append(self._watch.ends_at_ns)
        if self._node_at_ns is not None:
            due.append(self._node_at_ns)
        if self._page is None and self._page_at_ns > now_ns:
            due.append(self._page_at_ns)
        return max(0.0, (min(due) - now_ns) / NS_PER_S) if due else None

    def _page_wanted(self) -> list[socket.socket]:
        """Return the socket of the page, unless a page serves it, or must not yet."""
        if self._page is not None or self._is_stopping:
            return []
        return [self._listening] if self._page_at_ns <= monotonic_ns() else []

    def _start_node(self, now_ns: int) -> None:
        reports = {"NOTIFY_SOCKET": str(self._reports_path), "WATCHDOG_USEC": str(round(SILENCE_S * 1_000_000))}
        self._node = Started(_spawn(self._commands[0], self._environment | reports))
        self._node_at_ns, self._watch = None, Watch(now_ns)

    def _start_page(self) -> None:
        passed = {"LISTEN_FDS": "1"}
        # dup2: the page expects the socket as the first descriptor after those of every process
        actions = [(os.POSIX_SPAWN_DUP2, self._listening.fileno(), FIRST_DESCRIPTOR)]
        self._page = Started(_spawn([*WITH_PID, *self._commands[1]], self._environment | passed, actions))

    def _take_signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
            elif number == signal.SIGHUP and self._node is not None:
                self._node.send(signal.SIGHUP)
        self._reap()

    def _stop(self) -> None:
        self._is_stopping, self._node_at_ns = True, None
        for each in filter(None, (self._node, self._page)):
            each.end(signal.SIGTERM, STOP_S)

    def _reap(self) -> None:
        """Take leave of all children that have ended. The first process of a container gets orphans too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._node is not None and pid == self._node.pid:
                self._end_node(os.waitstatus_to_exitcode(status))
            elif self._page is not None and pid == self._page.pid:
                failed = os.waitstatus_to_exitcode(status) != 0
                self._page, self._page_at_ns = None, _in(PAGE_AGAIN_S if failed else 0)

    def _end_node(self, code: int) -> None:
        self._node = None
        # 128 + number: what a shell says of a process that was ended by a signal
        self._code = code if code >= 0 else 128 - code
        if self._is_stopping:
            return
        if code in NO_RESTART:
            self._stop()
            return
        _say(f"the node has ended: {_reason(code)}; it starts again in {self._restart_s:g} s")
        self._node_at_ns = _in(self._restart_s)


def _spawn(command: Sequence[str], environment: Mapping[str, str], actions: Sequence[tuple[int, int, int]] = ()) -> int:
    return os.posix_spawn(command[0], list(command), environment, file_actions=actions, setsigdef=SIGNALS)


def _reason(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _in(seconds: float) -> int:
    return monotonic_ns() + round(seconds * NS_PER_S)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: the loop reads the number of the signal from its socket."""

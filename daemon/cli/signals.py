"""The signals of `perceptd run`. SIGTERM and Ctrl-C stop it. SIGHUP makes a service read its config again."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# field `tty_nr` of proc_pid_stat(5), counted after the name of the program; 0: no controlling terminal
TTY_FIELD = 4


def handle_early_signals() -> None:
    """Handle the signals while modules are imported: there is nothing to close, and no config that was read."""
    handle_signals(_exit, _ignore)


def handle_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Call `stop` at SIGTERM, and `reload` at SIGHUP.

    SIGHUP is `stop` for a program with a terminal, which sends it when its window is closed. It stays ignored if it was
    ignored before, as by nohup.
    """
    signal.signal(signal.SIGTERM, _Handler(stop))
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _Handler(stop if has_terminal() else reload))


def handle_interrupt(stop: Callable[[], None]) -> None:
    """Call `stop` at Ctrl-C."""
    signal.signal(signal.SIGINT, _Handler(stop))


def has_terminal(stat: Path = Path("/proc/self/stat")) -> bool:
    """Return whether this process has a controlling terminal."""
    return stat.read_text().rpartition(")")[2].split()[TTY_FIELD] != "0"


class _Handler:
    """Calls a function at a signal."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self._call()


def _exit() -> None:
    sys.exit(0)


def _ignore() -> None:
    pass

"""An error of the operating system does not end a thread; another error does, and the heartbeat shows it."""

import ast
import threading
from pathlib import Path

import pytest

from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.thread_loop import LoopThread, system_errors
from tests.helpers.mosquitto import wait_until
from tests.helpers.shortages import no_more_threads

DAEMON = Path(__file__).resolve().parents[2] / "daemon"

# threads that end with the work of one command, of one child process or of one connection
SHORT = {
    "runtime/http.py",
    "doctor/sources.py",
    "cli/sync_test.py",
    "sources/capture/sound_system.py",
    "sources/hls/download.py",
    "node/local_server.py",
    "setup/capture.py",
    "setup/in_parallel.py",
    "web/connections.py",
    "web/renderings.py",
}


class Loop:
    """A loop that raises the given errors, one at each call, and then runs until it is closed."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.closed, self.runs = threading.Event(), threading.Event()
        self.heartbeat = Heartbeat("loop")
        self.thread = LoopThread(self.heartbeat, self._run)
        self.thread.start()

    def _run(self) -> None:
        if self.errors:
            raise self.errors.pop()
        self.runs.set()
        self.closed.wait()


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), OSError(28, "No space left"), OSError(5, "I/O"), MemoryError()]
)
def test_a_loop_goes_on_after_errors_of_the_operating_system(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    before = system_errors.total
    loop = Loop(error, error)
    assert loop.runs.wait(60)
    assert system_errors.total == before + 2
    assert f"loop: {type(error).__name__}: {error}; the loop goes on" in caplog.text
    loop.closed.set()
    assert loop.thread.join(60)
    assert loop.heartbeat.snapshot().alive, "a loop that has ended as it should is no trouble"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_another_error_ends_is_not_alive() -> None:
    loop = Loop(ValueError("a fault of the program"))
    assert loop.thread.join(60)
    wait_until(lambda: not loop.heartbeat.snapshot().alive, "the heartbeat shows it")


def test_no_room_for_a_thread_is_an_error_of_the_operating_system() -> None:
    thread = LoopThread(Heartbeat("loop"), lambda: None)
    with no_more_threads(), pytest.raises(OSError, match="can't start new thread"):
        thread.start()
    assert thread.join(0), "a thread that was never started has ended"
    thread.start()
    assert thread.join(60)


def test_every_thread_of_the_daemon_runs_its_loop_this_way() -> None:
    others = set()
    for path in DAEMON.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("threading.Thread", "Thread"):
                target = next(keyword.value for keyword in node.keywords if keyword.arg == "target")
                if ast.unparse(target) != "run_loop":
                    others.add(path.relative_to(DAEMON).as_posix())
    assert others == SHORT

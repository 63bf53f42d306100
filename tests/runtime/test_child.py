"""Native code that hangs, aborts or raves takes nothing with it but its own process."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.core.errors import ChildError, ChildTimeout
from daemon.runtime.child import BOOTSTRAP, Child, RecordReceiver, kill_counts
from tests.helpers.mosquitto import wait_until
from tests.helpers.processes import children_of, is_running
from tests.runtime import children

DEADLINE_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


def child(function: str, *arguments: str, inlet: RecordReceiver | None = None) -> Child:
    inherits = inlet.descriptors if inlet else ()
    return Child(getattr(children, function), *arguments, inherits=inherits)


def descriptors() -> list[str]:
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


def test_a_function_gives_what_it_writes() -> None:
    with child("say", "söund: 5, 6") as saying:
        assert saying.result(DEADLINE_S) == "söund: 5, 6\n"


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        ("fail", ["no such\x1bthing\nas rtsp://me:s3cret@host"], r"^no such thing as rtsp://\*\*\*@host$"),
        ("break_down", ["s3cret"], r"^its process ended with code 70$"),
        ("abort", [], r"^its process was ended by SIGABRT$"),
        ("read_nowhere", [], r"^its process was ended by SIGSEGV$"),
        ("babble", [], r"^its process ended with code 70$"),
        ("not_there", [], r"^its process ended with code 70$"),
    ],
)
def test_why_it_ended_is_told(
    function: str, arguments: list[str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with child(function, *arguments) as failing, pytest.raises(ChildError, match=reason):
        failing.result(DEADLINE_S)
    assert "s3cret" not in caplog.text
    if function == "break_down":
        assert "RuntimeError: cannot open rtsp://***@host" in caplog.text
    assert len(caplog.text) < 100_000


def test_arguments_may_be_long_and_are_shown_to_nobody() -> None:
    secret = "rtsp://me:s3cret@host" + "x" * 300_000
    with child("count", secret) as counting:
        assert b"s3cret" not in Path(f"/proc/{counting.pid}/cmdline").read_bytes()
        assert counting.result(DEADLINE_S) == f"{len(secret)}\n"


def test_what_hangs_is_killed_at_its_deadline() -> None:
    with child("hang") as hanging:
        with pytest.raises(ChildTimeout, match=r"the system has not answered for 0\.5 s"):
            hanging.result(0.5)
        assert is_running(hanging.pid)
    assert not is_running(hanging.pid)


def test_a_child_that_is_stopped_is_killed_all_the_same() -> None:
    with child("hang") as frozen:
        os.kill(frozen.pid, signal.SIGSTOP)
    assert not is_running(frozen.pid)


def test_it_ends_by_its_parent_alone() -> None:
    with RecordReceiver(8, 80) as inlet, child("stream", inlet.address, "1000000000", inlet=inlet) as streaming:
        wait_until(lambda: inlet.receive(streaming, 0.1), "the child runs")
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(streaming.pid, number)
        received = 0
        while received < 1000:
            received += len(inlet.receive(streaming, DEADLINE_S))
        assert is_running(streaming.pid)


def test_a_parent_that_is_killed_leaves_no_child() -> None:
    script = (
        "import time; from daemon.runtime.child import Child; from tests.runtime import children\n"
        "print(Child(children.hang).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_running(pid), "the child has ended")


def test_a_child_ends_with_the_thread_that_made_it() -> None:
    made: list[Child] = []

    def make() -> None:
        made.append(child("stream", inlet.address, "1000000000", inlet=inlet))
        wait_until(lambda: inlet.receive(made[0], 0.1), "the child runs")

    with RecordReceiver(8, 80) as inlet:
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        with made[0], pytest.raises(ChildError, match="was ended by SIGKILL"):
            made[0].result(DEADLINE_S)


def test_a_child_whose_parent_died_before_it_began_does_not_begin() -> None:
    command = [
        sys.executable,
        "-I",
        "-c",
        BOOTSTRAP,
        ":".join(sys.path),
        "999999999",
        "tests.runtime.children:say",
        "hello",
    ]
    run = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
    assert (run.returncode, run.stdout) == (70, b"")


def test_records_come_whole_and_in_order_and_those_without_room_are_counted() -> None:
    count, previous = 20_000, -1
    with (
        RecordReceiver(16, 80) as inlet,
        child("stream", inlet.address, str(count), inlet=inlet) as streaming,
        pytest.raises(ChildError, match=r"^that was all$"),
    ):
        while True:
            for record in inlet.receive(streaming, DEADLINE_S):
                if record.payload:
                    number = int.from_bytes(record.payload[:8], "little")
                    assert record.payload[8:] == bytes([number % 251]) * (number % 48)
                    assert number == previous + 1 + record.lost
                    previous = number
    assert 0 <= previous < count


def test_a_child_that_raves_is_an_error() -> None:
    with (
        RecordReceiver(8, 64) as inlet,
        child("rave", inlet.address, inlet=inlet) as raving,
        pytest.raises(ChildError, match=r"claims 100000\d records in 8 slots"),
    ):
        while True:
            inlet.receive(raving, DEADLINE_S)


def test_silence_is_no_error_until_the_caller_says_so() -> None:
    with RecordReceiver(8, 64) as inlet, child("hang") as silent:
        assert inlet.receive(silent, 0.2) == []


def test_nothing_is_left_of_twenty_children() -> None:
    def one() -> None:
        with RecordReceiver(8, 64) as inlet, child("hang", inlet=inlet):
            pass

    one()
    before = descriptors()
    for _ in range(20):
        one()
    assert descriptors() == before
    assert children_of(os.getpid(), "tests.runtime.children") == []


def test_a_process_that_lives_on_is_not_to_be_joined_by_another() -> None:
    with Child(children.hang) as child, pytest.raises(ChildError, match=f"process {child.pid} hangs"):
        child.check_gone()
    child.check_gone()


def test_what_is_killed_is_counted_and_what_has_ended_is_not() -> None:
    before = kill_counts.killed, kill_counts.left_behind
    with Child(children.hang):
        pass
    assert (kill_counts.killed, kill_counts.left_behind) == (before[0] + 1, before[1])
    with Child(children.say, "done") as child:
        assert child.result(5).strip() == "done"
    assert kill_counts.killed == before[0] + 1

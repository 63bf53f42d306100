"""Native code that hangs, aborts or sends invalid data harms only its own process."""

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
from tests.helpers.processes import children_of, group_of, is_running, open_descriptors
from tests.runtime import children

DEADLINE_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


def child(function: str, *arguments: str, receiver: RecordReceiver | None = None) -> Child:
    inherits = receiver.descriptors if receiver else ()
    return Child(getattr(children, function), *arguments, inherits=inherits)


def test_the_result_is_what_the_function_writes() -> None:
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
def test_the_reason_of_a_failure_is_reported(
    function: str, arguments: list[str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with child(function, *arguments) as failing, pytest.raises(ChildError, match=reason):
        failing.result(DEADLINE_S)
    assert "s3cret" not in caplog.text
    if function == "break_down":
        assert "RuntimeError: cannot open rtsp://***@host" in caplog.text
    assert len(caplog.text) < 100_000


def test_arguments_may_be_long_and_are_invisible_to_other_users() -> None:
    secret = "rtsp://me:s3cret@host" + "x" * 300_000
    with child("count", secret) as counting:
        assert b"s3cret" not in Path(f"/proc/{counting.pid}/cmdline").read_bytes()
        assert counting.result(DEADLINE_S) == f"{len(secret)}\n"


def test_a_child_that_hangs_is_killed_at_its_deadline() -> None:
    with child("hang") as hanging:
        with pytest.raises(ChildTimeout, match=r"the system has not answered for 0\.5 s"):
            hanging.result(0.5)
        assert is_running(hanging.pid)
    assert not is_running(hanging.pid)


def test_a_child_that_is_stopped_by_a_signal_is_killed() -> None:
    with child("hang") as frozen:
        os.kill(frozen.pid, signal.SIGSTOP)
    assert not is_running(frozen.pid)


def test_only_its_parent_ends_it() -> None:
    with (
        RecordReceiver(8, 80) as receiver,
        child("stream", receiver.address, "1000000000", receiver=receiver) as streaming,
    ):
        wait_until(lambda: receiver.receive(streaming, 0.1), "the child runs")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(streaming.pid, number)
        received = 0
        while received < 1000:
            received += len(receiver.receive(streaming, DEADLINE_S))
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


@pytest.mark.parametrize("function", ["hang", "abort", "finish"])
def test_what_a_child_has_forked_ends_with_it(function: str) -> None:
    with child("fork_then", function) as forking:
        wait_until(lambda: len(group_of(forking.pid)) == 2 or forking.has_ended(0), "it has forked")
        if function != "hang":
            assert forking.has_ended(DEADLINE_S)
            assert len(group_of(forking.pid)) == 1, "the fork has outlived the child"
    wait_until(lambda: not group_of(forking.pid), "the fork has ended too")


def test_what_a_child_has_forked_ends_with_the_result() -> None:
    with child("fork_then", "finish") as forking:
        assert forking.result(DEADLINE_S) == "forked\n"
        wait_until(lambda: not group_of(forking.pid), "the fork has ended too")


def test_a_parent_that_is_killed_leaves_nothing_that_its_children_have_forked() -> None:
    script = (
        "import time; from daemon.runtime.child import Child; from tests.runtime import children\n"
        "print(Child(children.fork_then, 'hang').pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        pid = int(parent.stdout.readline())
    wait_until(lambda: len(group_of(pid)) == 2, "it has forked")
    parent.kill()
    parent.wait()
    wait_until(lambda: not group_of(pid), "both have ended")


def test_a_child_ends_with_the_thread_that_started_it() -> None:
    made: list[Child] = []

    def make() -> None:
        made.append(child("stream", receiver.address, "1000000000", receiver=receiver))
        wait_until(lambda: receiver.receive(made[0], 0.1), "the child runs")

    with RecordReceiver(8, 80) as receiver:
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        with made[0], pytest.raises(ChildError, match="was ended by SIGKILL"):
            made[0].result(DEADLINE_S)


def test_a_child_whose_parent_died_before_it_began_ends_at_once() -> None:
    command = [
        sys.executable,
        "-I",
        "-c",
        BOOTSTRAP,
        ":".join(sys.path),
        "999999999",
        "tests.runtime.children:say",
        "3",
        "4",
    ]
    run = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
    assert (run.returncode, run.stdout) == (70, b"")


def test_records_arrive_complete_and_in_order_and_lost_ones_are_counted() -> None:
    count, previous = 20_000, -1
    with (
        RecordReceiver(16, 80) as receiver,
        child("stream", receiver.address, str(count), receiver=receiver) as streaming,
        pytest.raises(ChildError, match=r"^that was all$"),
    ):
        while True:
            for record in receiver.receive(streaming, DEADLINE_S):
                if record.payload:
                    number = int.from_bytes(record.payload[:8], "little")
                    assert record.payload[8:] == bytes([number % 251]) * (number % 48)
                    assert number == previous + 1 + record.lost
                    previous = number
    assert 0 <= previous < count


def test_a_child_that_reports_unwritten_records_is_an_error() -> None:
    with (
        RecordReceiver(8, 64) as receiver,
        child("report_unwritten", receiver.address, receiver=receiver) as lying,
        pytest.raises(ChildError, match=r"claims 100000\d records in 8 slots"),
    ):
        while True:
            receiver.receive(lying, DEADLINE_S)


def test_silence_is_not_an_error() -> None:
    with RecordReceiver(8, 64) as receiver, child("hang") as silent:
        assert receiver.receive(silent, 0.2) == []


def test_twenty_children_leave_nothing_behind() -> None:
    def one() -> None:
        with RecordReceiver(8, 64) as receiver, child("hang", receiver=receiver):
            pass

    one()
    before = open_descriptors()
    for _ in range(20):
        one()
    assert open_descriptors() == before
    assert children_of(os.getpid(), "tests.runtime.children") == []


def test_a_process_that_was_not_killed_prevents_another() -> None:
    with Child(children.hang) as child, pytest.raises(ChildError, match=f"process {child.pid} hangs"):
        child.check_gone()
    child.check_gone()


def test_killed_children_are_counted_and_ended_ones_are_not() -> None:
    before = kill_counts.killed, kill_counts.left_behind
    with Child(children.hang):
        pass
    assert (kill_counts.killed, kill_counts.left_behind) == (before[0] + 1, before[1])
    with Child(children.say, "done") as child:
        assert child.result(5).strip() == "done"
    assert kill_counts.killed == before[0] + 1

"""The time that tests measure stands still while a process waits for a processor, and only then."""

import subprocess
import sys
import time

import pytest

from tests.helpers.promised import PromisedTime, within

SPIN = "while True: pass"


def test_a_promise_that_is_kept_or_broken() -> None:
    within(5.0, lambda: True, "at once")
    with pytest.raises(AssertionError, match=r"not within 0\.2 s: never"):
        within(0.2, lambda: False, "never")


def test_time_stands_still_while_processes_wait_for_a_processor() -> None:
    pinned = ["taskset", "--cpu-list", "0", sys.executable, "-c", SPIN]
    with subprocess.Popen(pinned) as one, subprocess.Popen(pinned) as other:
        try:
            taken, began_s = PromisedTime(), time.monotonic()
            while taken.elapsed_s() + 1.0 > (passed_s := time.monotonic() - began_s):
                assert passed_s < 60.0, "two programs on one processor wait half of the time"
                time.sleep(0.2)
        finally:
            one.kill()
            other.kill()

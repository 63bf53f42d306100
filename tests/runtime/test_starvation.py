"""A real loop that hangs is found, also under load, and a real loop that is starved is not called hung."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.daemon import ROOT
from tests.helpers.throttle import Throttle

# the share of one core, and the threads that want it beside the loop
HANGS = [(1.0, 0), (0.3, 0)] + ([(0.5, 2), (0.3, 4)] if IS_CAMPAIGN else [])
STARVED_S = 30 if IS_CAMPAIGN else 4


@contextmanager
def late_loop(kind: str, share: float, threads: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.helpers.late_loop", kind, str(threads)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        try:
            with Throttle(process.pid, share):
                yield process
        finally:
            process.kill()


@pytest.mark.campaign("overload")
@pytest.mark.parametrize(("share", "threads"), HANGS)
def test_a_loop_that_hangs_is_found_under_load(share: float, threads: int) -> None:
    with late_loop("hang", share, threads) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"


@pytest.mark.campaign("overload")
def test_a_loop_that_waits_for_a_processor_does_not_hang() -> None:
    with late_loop("work", 0.1, threads=2) as process:
        time.sleep(STARVED_S)
        assert process.poll() is None

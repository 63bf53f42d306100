"""Restarts of accelerators' processes leave nothing behind; in a campaign a thousand of them."""

import gc
import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.accelerators import EXAMINED, SmallAccelerator, delegate_device
from tests.helpers.campaign import repetitions
from tests.helpers.processes import children_of

RESTARTS = repetitions(80, campaign=1000)
SIDE_BY_SIDE = 2
WARM_UP = repetitions(20, campaign=50)
"""In which the process comes to what it needs."""

MOST_GROWTH_MB = 4.0
"""A restart that leaked one page of 4 kB would come to this in a thousand."""


def restarted(small: SmallAccelerator, times: int) -> None:
    """Let its process fail so often, at its first answer after it was examined."""
    wanted = small.failures("died") + times
    while small.failures("died") < wanted:
        small.changed.wait(0.05)
        small.changed.clear()
        small.ask()


def held() -> Counter[str]:
    """What this process has open and mapped, by kind, of what a restart makes anew."""
    links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    kinds = Counter(link.partition(":")[0] for link in links if not link.startswith("/proc"))
    kinds["mapped"] = Path("/proc/self/maps").read_text().count("memfd:perceptd")
    return kinds


def anonymous_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def restart_both(directory: Path, delegate: Path, times: int) -> None:
    """Two accelerators, each of which fails so often."""
    device = delegate_device(delegate, fault="error", after=EXAMINED)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool, ExitStack() as stack:
        both = []
        for number in range(SIDE_BY_SIDE):
            (own := directory / str(number)).mkdir(exist_ok=True)
            both.append(stack.enter_context(SmallAccelerator(own, device)))
        list(pool.map(restarted, both, [times // SIDE_BY_SIDE] * SIDE_BY_SIDE))
        assert sum(small.accelerator.status.starts for small in both) >= times


@pytest.mark.campaign("accelerator-restarts")
def test_restarts_leave_nothing_behind(tmp_path: Path, delegate: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # each is logged, and what is logged is kept
    restart_both(tmp_path, delegate, WARM_UP)
    gc.collect()
    before, before_mb = held(), anonymous_mb()
    restart_both(tmp_path, delegate, RESTARTS)
    gc.collect()
    assert held() == before
    assert anonymous_mb() - before_mb < MOST_GROWTH_MB
    assert children_of(os.getpid(), "daemon.inference.served") == []

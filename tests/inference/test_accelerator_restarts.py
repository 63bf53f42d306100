"""Restarts of accelerators' processes leave nothing behind; in a campaign a thousand of them."""

import gc
import logging
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.accelerators import VERIFIED, SmallAccelerator, delegate_device
from tests.helpers.campaign import repetitions
from tests.helpers.processes import children_of

RESTARTS = repetitions(30, campaign=1000)
SIDE_BY_SIDE = 2
# Restarts before the measurement, until this process has what it needs.
WARM_UP = repetitions(10, campaign=50)

# A thousand restarts that leak one page of 4 kB each come to this.
MAX_GROWTH_MB = 4.0


def restarted(small: SmallAccelerator, times: int) -> None:
    """Let the process fail `times` times, at its first output after the verification."""
    expected = small.failures("died") + times
    while small.failures("died") < expected:
        small.changed.wait(0.05)
        small.changed.clear()
        small.compute()


def open_resources() -> Counter[str]:
    """Count the descriptors and mappings of this process that a restart creates, by kind."""
    links = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    kinds = Counter(link.partition(":")[0] for link in links if not link.startswith("/proc"))
    kinds["mapped"] = Path("/proc/self/maps").read_text().count("memfd:perceptd")
    return kinds


def anonymous_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def restart_both(directory: Path, delegate: Path, times: int) -> None:
    """Let two accelerators fail `times` times together."""
    device = delegate_device(delegate, fault="error", after=VERIFIED)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool, ExitStack() as stack:
        both = []
        for number in range(SIDE_BY_SIDE):
            (directory_of_one := directory / str(number)).mkdir(exist_ok=True)
            both.append(stack.enter_context(SmallAccelerator(directory_of_one, device)))
        list(pool.map(restarted, both, [times // SIDE_BY_SIDE] * SIDE_BY_SIDE))
        assert sum(small.accelerator.status.starts for small in both) >= times


@pytest.mark.campaign("accelerator-restarts")
def test_restarts_leave_nothing_behind(tmp_path: Path, delegate: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # each is logged, and what is logged is kept
    restart_both(tmp_path, delegate, WARM_UP)
    gc.collect()
    before, before_mb = open_resources(), anonymous_mb()
    restart_both(tmp_path, delegate, RESTARTS)
    gc.collect()
    assert open_resources() == before
    assert anonymous_mb() - before_mb < MAX_GROWTH_MB
    assert children_of(os.getpid(), "daemon.inference.accelerator_main") == []


def test_a_restarted_process_loads_the_copy_and_not_the_file(tmp_path: Path, delegate: Path) -> None:
    with SmallAccelerator(tmp_path, delegate_device(delegate, fault="error", after=VERIFIED)) as small:
        small.wait_for("in_use")
        (tmp_path / "small.tflite").write_bytes(b"another version, half copied")
        restarted(small, 2)
        small.wait_for("in_use")
        assert small.failures("refused") == 0

"""Tries a bundle that is to be published, in a child process: its self-test, and how much memory it takes."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import BundleError, ChildError
from daemon.runtime.child import Child
from daemon.selftest import tried

IN_CHILD = "daemon.repo_trial:measure_in_child"

TRIAL_S = 120.0
"""What takes longer on the machine of a publisher is none for a small device."""

STEP_MB = 8
"""Memory needs are rounded up to this: two measurements differ by a page here and there, and so do processors."""

LEAST_MB = 16
"""The runtime itself takes some megabytes that were in memory already when this was measured."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A bundle whose self-test is good: how many seconds that took, and how much memory to declare."""

    seconds: float
    memory_mb: int


def try_bundle(directory: Path) -> Trial:
    """Load a bundle and run its self-test, as devices will. Raises BundleError with all that is wrong."""
    try:
        with Child(IN_CHILD, str(directory)) as child:
            result = json.loads(child.result(TRIAL_S))
    except ChildError as error:
        raise BundleError(f"{directory}: cannot be published: loading it or its self-test: {error}") from error
    if result["failures"]:
        raise BundleError("\n".join([f"{directory}: cannot be published:", *result["failures"]]))
    return Trial(result["seconds"], declared_mb(result["memory_kb"]))


def declared_mb(memory_kb: int) -> int:
    """What is declared for a measured need."""
    steps = -(-memory_kb // (STEP_MB * 1024))
    return max(LEAST_MB, STEP_MB * steps)


def measure_in_child(directory: str) -> None:
    """In a child process: write what the self-test says, and by how much memory grew at most, as JSON."""
    with suppress(OSError):
        # proc(5): the peak begins anew here; else it is that of the imports, and the need may be told too high
        Path("/proc/self/clear_refs").write_text("5")
    before_kb = _status_kb("VmRSS")
    failures, seconds = tried(Path(directory))
    grown_kb = max(0, _status_kb("VmHWM") - before_kb)
    print(json.dumps({"failures": failures, "seconds": seconds, "memory_kb": grown_kb}))  # noqa: T201  (parent reads)


def _status_kb(name: str) -> int:
    """Of this program alone; what getrusage gives as its peak began with that of the process it was forked from."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None  # noqa: S101  (proc(5) promises it)
    return int(found[1])

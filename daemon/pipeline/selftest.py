"""Runs the self-test of a bundle, and measures the time and memory that it takes."""

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.bundle.bundle import Bundle, has_cases, load_bundle, load_cases
from daemon.core.errors import BundleError, ChildError, InputError, ModelError, Refused
from daemon.core.sealed import MAX_BYTES
from daemon.pipeline.heads import load_taught_head
from daemon.pipeline.offline import OfflineRecogniser, item_of
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from daemon.pipeline.taught_cases import load_taught_cases, taught_failures
from daemon.runtime.child import Child
from daemon.runtime.child_main import confine

# How many failures a one-line message names.
MAX_FAILURES = 3

# A self-test that takes longer on the publisher's machine is not for a small device.
MEASUREMENT_S = 120.0

# Far more than a bundle for a small computer needs.
CONFINED_MB = 1024

# The declared memory is a multiple of this. Two measurements, and two processors, differ by some pages.
STEP_MB = 8

# The runtime needs some megabytes which were in memory already when the measurement began.
MIN_MB = 16


def run_selftest(bundle: Bundle, recogniser: Recogniser) -> list[str]:
    """Return a message for each failure of the stored cases. Raises ModelError when a model does not run.

    The cases of the base are tested without the labels that were taught. Those have cases of their own.
    A bundle that a node was taught may have a base without cases.
    """
    offline = OfflineRecogniser(recogniser, is_taught=False)
    tolerance = bundle.manifest.selftest.tolerance
    failures = []
    needs_cases = has_cases(bundle) or not bundle.manifest.is_local
    for case, where in load_cases(bundle) if needs_cases else ():
        try:
            scores = offline.recognise(item_of(bundle, case)).scores
        except InputError as error:
            failures.append(f"{where}: {error}")
            continue
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error
        for label, expected in case.scores.items():
            score = float(scores[offline.labels.index(label)])
            if not abs(score - expected) <= tolerance:  # also true for NaN
                failures.append(f"{where}: {label} scored {score:.3f}, expected {expected:.3f} within {tolerance}")
    taught, head = bundle.manifest.taught, load_taught_head(bundle)
    if taught is not None and head is not None:
        failures += taught_failures(load_taught_cases(bundle, taught), head, list(taught.labels), taught.cases)
    return failures


def first_failures(failures: Sequence[str]) -> str:
    """Return the first few failures on one line."""
    lines = [" ".join(failure.split()) for failure in failures[:MAX_FAILURES]]
    more = f" and {len(failures) - MAX_FAILURES} more" if len(failures) > MAX_FAILURES else ""
    return "; ".join(lines) + more


def print_selftest(directory: str) -> None:
    """In a child process: run the self-test of the bundle in a directory, and print failures and seconds as JSON."""
    failures, seconds = _timed_selftest(Path(directory))
    print(json.dumps({"failures": failures, "seconds": seconds}))  # noqa: T201  (the parent reads it)


def print_confined_selftest(directory: str) -> None:
    """In a child process: as `print_selftest`, of a bundle whose models nobody has tried on this machine."""
    confine_selftest()
    print_selftest(directory)


def confine_selftest() -> None:
    """In a child process: limit its memory and its processor time."""
    confine(CONFINED_MB, MEASUREMENT_S, MAX_BYTES)


@dataclass(frozen=True, slots=True)
class Measurement:
    """How many seconds a bundle's self-test took, and how much memory its release must declare."""

    seconds: float
    memory_mb: int


def measure_bundle(directory: Path) -> Measurement:
    """Load a bundle and run its self-test in a child process. Raises BundleError with all failures."""
    try:
        with Child(print_measurement, str(directory)) as child:
            result = json.loads(child.result(MEASUREMENT_S))
    except ChildError as error:
        raise BundleError(f"{directory}: cannot be published: loading it or its self-test: {error}") from error
    if result["failures"]:
        raise BundleError("\n".join([f"{directory}: cannot be published:", *result["failures"]]))
    return Measurement(result["seconds"], declared_mb(result["memory_kb"]))


def declared_mb(memory_kb: int) -> int:
    """Return the memory to declare for a measured need."""
    steps = -(-memory_kb // (STEP_MB * 1024))
    return max(MIN_MB, STEP_MB * steps)


def print_measurement(directory: str) -> None:
    """In a child process: run the self-test, and print failures, seconds and the growth of memory as JSON."""
    with suppress(OSError):
        # proc(5): this resets the peak to the present size. Without it the imports count, and the need is too high.
        Path("/proc/self/clear_refs").write_text("5")
    before_kb = _status_kb("VmRSS")
    failures, seconds = _timed_selftest(Path(directory))
    grown_kb = max(0, _status_kb("VmHWM") - before_kb)
    print(json.dumps({"failures": failures, "seconds": seconds, "memory_kb": grown_kb}))  # noqa: T201  (parent reads)


def _timed_selftest(directory: Path) -> tuple[list[str], float]:
    """Return the failures of a bundle's self-test and its seconds. A bundle that cannot be loaded fails."""
    began = time.monotonic()
    try:
        bundle = load_bundle(directory)
        recogniser = load_recogniser(bundle)
        began = time.monotonic()
        failures = run_selftest(bundle, recogniser)
    except Refused as error:
        failures = str(error).splitlines()
    except MemoryError:
        failures = ["needs more memory than there is for it"]
    return failures, time.monotonic() - began


def _status_kb(name: str) -> int:
    """Return a size of this process from /proc. The peak of getrusage would begin with that of the parent."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None  # noqa: S101  (proc(5) promises it)
    return int(found[1])

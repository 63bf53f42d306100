"""Runs the stored cases of a bundle through its models."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from daemon.bundles.load import Bundle, load_bundle
from daemon.bundles.selftest import load_cases
from daemon.errors import InputError, ModelError, Refused
from daemon.offline import OfflineRecogniser, item_of
from daemon.recogniser import Recogniser, load_recogniser

IN_CHILD = "daemon.selftest:run_in_child"

MOST_FAILURES = 3
"""Of a self-test, told on one line."""


def selftest(bundle: Bundle, recogniser: Recogniser) -> list[str]:
    """What the stored cases find wrong, in words. Raises ModelError when a model does not run."""
    offline = OfflineRecogniser(recogniser)
    tolerance = bundle.manifest.selftest.tolerance
    failures = []
    for case, where in load_cases(bundle):
        try:
            scores = offline.recognise(item_of(bundle, case)).scores
        except InputError as error:
            failures.append(f"{where}: {error}")
            continue
        except ModelError as error:
            raise ModelError(f"{where}: {error}") from error
        for label, expected in case.scores.items():
            score = float(scores[offline.labels.index(label)])
            if not abs(score - expected) <= tolerance:  # nor is a score that is no number
                failures.append(f"{where}: {label} scored {score:.3f}, expected {expected:.3f} within {tolerance}")
    return failures


def failures_in_short(failures: Sequence[str]) -> str:
    """The first few, on one line."""
    told = [" ".join(failure.split()) for failure in failures[:MOST_FAILURES]]
    more = f" and {len(failures) - MOST_FAILURES} more" if len(failures) > MOST_FAILURES else ""
    return "; ".join(told) + more


def run_in_child(directory: str) -> None:
    """In a child process: write what `tried` says, as JSON."""
    failures, seconds = tried(Path(directory))
    print(json.dumps({"failures": failures, "seconds": seconds}))  # noqa: T201  (the parent reads it)


def tried(directory: Path) -> tuple[list[str], float]:
    """What the self-test of the bundle there finds wrong, and how many seconds it took.

    A bundle that cannot be used is wrong at once.
    """
    began = time.monotonic()
    try:
        bundle = load_bundle(directory)
        recogniser = load_recogniser(bundle)
        began = time.monotonic()
        failures = selftest(bundle, recogniser)
    except Refused as error:
        failures = str(error).splitlines()
    return failures, time.monotonic() - began

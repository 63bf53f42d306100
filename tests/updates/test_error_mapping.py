"""The end of a step's process is told in words, and laid on the bundle or on the source."""

import pytest

from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout
from daemon.updates.steps import bundle_failure, fetch_failure

ENDED = "its process was ended by "


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChildTimeout(120.0), "did not finish within 120 s"),
        (ChildCrashed("SIGSEGV"), f"its models crash the runtime: {ENDED}SIGSEGV"),
        (ChildCrashed("SIGXCPU"), "used up its processor time without finishing"),
        (ChildCrashed("SIGABRT"), f"{ENDED}SIGABRT: it may need more than the 16 MB that were declared"),
        (ChildError("cannot be tried: KeyError: 'x'"), "cannot be tried: KeyError: 'x'"),
    ],
)
def test_of_a_trial_it_is_the_bundles_fault(error: ChildError, words: str) -> None:
    told = bundle_failure(error, 16)
    assert (told.kind, str(told)) == ("bundle", words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChildTimeout(300.0), "did not finish within 300 s"),
        (ChildCrashed("SIGSEGV"), f"{ENDED}SIGSEGV"),
        (ChildError("its process ended with code 1"), "its process ended with code 1"),
    ],
)
def test_of_a_fetch_it_is_the_sources(error: ChildError, words: str) -> None:
    told = fetch_failure(error)
    assert (told.kind, str(told)) == ("source", words)


def test_whom_the_system_ends_it_may_have_had_no_memory_for() -> None:
    ended = bundle_failure(ChildCrashed("SIGKILL"), 16)
    assert (ended.kind, str(ended)) == ("memory", f"{ENDED}SIGKILL: the system may have run out of memory")

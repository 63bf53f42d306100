"""The errors of a step's process as errors of the bundle, the source or the memory."""

import pytest

from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout
from daemon.updates.steps import bundle_failure, fetch_failure

ENDED = "its process was ended by "


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ChildTimeout(120.0), "did not finish within 120 s"),
        (ChildCrashed("SIGSEGV"), f"its models crash the runtime: {ENDED}SIGSEGV"),
        (ChildCrashed("SIGXCPU"), "used up its processor time without finishing"),
        (ChildCrashed("SIGABRT"), f"{ENDED}SIGABRT: it may need more than the 16 MB that were declared"),
        (ChildError("cannot be tried: KeyError: 'x'"), "cannot be tried: KeyError: 'x'"),
    ],
)
def test_a_failure_to_load_is_an_error_of_the_bundle(error: ChildError, text: str) -> None:
    mapped = bundle_failure(error, 16)
    assert (mapped.kind, str(mapped)) == ("bundle", text)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ChildTimeout(300.0), "did not finish within 300 s"),
        (ChildCrashed("SIGSEGV"), f"{ENDED}SIGSEGV"),
        (ChildError("its process ended with code 1"), "its process ended with code 1"),
    ],
)
def test_a_failure_to_fetch_is_an_error_of_the_source(error: ChildError, text: str) -> None:
    mapped = fetch_failure(error)
    assert (mapped.kind, str(mapped)) == ("source", text)


def test_sigkill_is_an_error_of_memory() -> None:
    ended = bundle_failure(ChildCrashed("SIGKILL"), 16)
    assert (ended.kind, str(ended)) == ("memory", f"{ENDED}SIGKILL: the system may have run out of memory")

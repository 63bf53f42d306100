import threading

import pytest

from daemon.errors import SourceError
from daemon.sources.deadline import call_within


def fail(error: Exception) -> None:
    raise error


def test_the_result_is_given() -> None:
    assert call_within(5, "device", lambda: 7) == 7


def test_a_failure_names_the_device() -> None:
    with pytest.raises(SourceError, match=r"^device: broken$"):
        call_within(5, "device", lambda: fail(OSError("broken")))
    with pytest.raises(SourceError, match=r"^its own words$"):
        call_within(5, "device", lambda: fail(SourceError("its own words")))


def test_what_hangs_is_left_behind_and_undone_when_it_comes_late() -> None:
    release, undone = threading.Event(), threading.Event()
    results: list[str] = []

    def undo(result: str) -> None:
        results.append(result)
        undone.set()

    def hang() -> str:
        release.wait(10)
        return "late"

    with pytest.raises(SourceError, match=r"device: the system has not answered for 0\.05 s"):
        call_within(0.05, "device", hang, undo)
    release.set()
    assert undone.wait(5)
    assert results == ["late"]

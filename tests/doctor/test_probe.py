"""Libraries that crash, fail or are missing, in real child processes."""

from pathlib import Path

import pytest

from daemon.doctor.probe import probe, probe_module, probe_shared_library
from tests.helpers import libraries
from tests.runtime import children

FUNCTION = "edgetpu_version"


def test_a_library_states_its_version(tmp_path: Path) -> None:
    path = libraries.compile_library(tmp_path, libraries.TELLS)
    result = probe_shared_library(str(path), FUNCTION)
    assert result.problem is None
    assert "RuntimeVersion(14)" in result.output


@pytest.mark.parametrize("source", [libraries.CRASHES, libraries.CRASHES_WHEN_LOADED])
def test_a_crash_is_reported_with_its_signal(tmp_path: Path, source: str) -> None:
    path = libraries.compile_library(tmp_path, source)
    result = probe_shared_library(str(path), FUNCTION)
    assert (result.problem, result.signal_name) == (f"{path} crashed: SIGSEGV", "SIGSEGV")


def test_unusable_and_missing_libraries_differ(tmp_path: Path) -> None:
    other = libraries.compile_library(tmp_path, libraries.LACKS_IT)
    assert probe_shared_library(str(other), FUNCTION).problem == f"{other}: has no function edgetpu_version"
    broken = libraries.compile_library(tmp_path, libraries.NEEDS_ANOTHER, "broken.so")
    result = probe_shared_library(str(broken), FUNCTION)
    assert "cannot be loaded" in (result.problem or "")
    assert not result.is_missing
    missing = probe_shared_library("libnowhere.so.1", FUNCTION)
    assert missing.is_missing
    assert missing.problem == "libnowhere.so.1 is not installed"


def test_modules() -> None:
    assert probe_module("json", "json").problem is None
    missing = probe_module("nowhere", "nowhere.inside")
    assert (missing.problem, missing.is_missing) == ("nowhere is not installed", True)
    assert probe("crasher", children.read_nowhere).problem == "crasher crashed: SIGSEGV"
    hung = probe("hanger", children.hang, deadline_s=0.5)
    assert (hung.problem, hung.is_late) == ("hanger: the system has not answered for 0.5 s", True)
    assert not missing.is_late

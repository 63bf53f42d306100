"""Libraries that crash, fail or are not there, in a real child process."""

from pathlib import Path

import pytest

from daemon.doctor.finding import import_module, print_library_version, probe
from tests.helpers import libraries
from tests.runtime import children

FUNCTION = "edgetpu_version"


def test_a_library_says_its_version(tmp_path: Path) -> None:
    path = libraries.compile_library(tmp_path, libraries.TELLS)
    trial = probe("libedgetpu.so.1", print_library_version, str(path), FUNCTION)
    assert trial.trouble is None
    assert "RuntimeVersion(14)" in trial.said


@pytest.mark.parametrize("source", [libraries.CRASHES, libraries.CRASHES_WHEN_LOADED])
def test_one_that_crashes_is_named_with_its_signal(tmp_path: Path, source: str) -> None:
    path = libraries.compile_library(tmp_path, source)
    assert (
        probe("libedgetpu.so.1", print_library_version, str(path), FUNCTION).trouble
        == "libedgetpu.so.1 crashed: SIGSEGV"
    )


def test_one_that_cannot_be_used_is_told_from_one_that_is_missing(tmp_path: Path) -> None:
    other = libraries.compile_library(tmp_path, libraries.LACKS_IT)
    assert probe("lib", print_library_version, str(other), FUNCTION).trouble == "lib: has no function edgetpu_version"
    broken = libraries.compile_library(tmp_path, libraries.NEEDS_ANOTHER, "broken.so")
    trial = probe("lib", print_library_version, str(broken), FUNCTION)
    assert "cannot be loaded" in (trial.trouble or "")
    assert not trial.is_missing
    missing = probe("libnowhere.so.1", print_library_version, "libnowhere.so.1", FUNCTION)
    assert missing.is_missing
    assert missing.trouble == "libnowhere.so.1 is not installed"


def test_modules() -> None:
    assert probe("json", import_module, "json").trouble is None
    assert probe("nowhere", import_module, "nowhere").trouble == "nowhere is not installed"
    assert probe("crasher", children.read_nowhere).trouble == "crasher crashed: SIGSEGV"
    assert probe("hanger", children.hang, deadline_s=0.5).trouble == ("hanger: the system has not answered for 0.5 s")

"""A confined process cannot exceed its limits."""

import os
from pathlib import Path

import pytest

from daemon.core.errors import ChildError
from daemon.runtime.child import Child
from daemon.runtime.child_main import MAX_OPEN_FILES, NICENESS, OOM_SCORE_ADJUSTMENT
from tests.runtime import children

DEADLINE_S = 20.0


def result_of(function: str, *arguments: str) -> str:
    with Child(getattr(children, function), *arguments) as child:
        try:
            return child.result(DEADLINE_S).strip()
        except ChildError as error:
            return str(error)


@pytest.mark.parametrize(("megabytes", "output"), [("24", ""), ("40", "no memory"), ("8192", "no memory")])
def test_memory(megabytes: str, output: str) -> None:
    assert result_of("allocate", megabytes) == output


def test_processor_time() -> None:
    assert result_of("compute") == "its process was ended by SIGXCPU"


@pytest.mark.parametrize(("length", "output"), [("1000", ""), ("1001", "File too large")])
def test_what_is_written(tmp_path: Path, length: str, output: str) -> None:
    assert result_of("write", str(tmp_path / "file"), length) == output


def test_a_refused_priority_changes_nothing_else() -> None:
    assert result_of("confine_where_nice_is_forbidden") == "confined"


def test_files_core_dumps_and_priority() -> None:
    nice = min(os.nice(0) + NICENESS, 19)
    assert result_of("limits") == f"{nice} {OOM_SCORE_ADJUSTMENT} {(MAX_OPEN_FILES, MAX_OPEN_FILES)} (0, 0)"

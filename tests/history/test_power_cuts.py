"""Power cuts and failing disks: index and files agree, and nothing is lost that was acknowledged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.power_cuts import in_memory, make_shim, run_cuts

MODULE = "tests.history.powercut"
# of each manner, so many are cut at, unless a campaign cuts at all of them
CALLS = 4


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shim(tmp_path_factory.mktemp("cut"))


@pytest.fixture
def memory() -> Iterator[str]:
    yield from in_memory()


@pytest.mark.campaign("power-cuts")
def test_cut_at_each_call_that_changes_the_disk(shim: Path, memory: str) -> None:
    for found in run_cuts(MODULE, shim, memory, "calls", str(CALLS)):
        assert found["problems"] == []
        assert found["places"] > 100
        assert found["cuts"] == (found["places"] if IS_CAMPAIGN else CALLS)


def test_a_file_is_on_disk_before_its_row_and_goes_after_it(shim: Path, memory: str) -> None:
    (found,) = run_cuts(MODULE, shim, memory, "order")
    calls = [line.split("\t") for line in found["calls"]]
    named = [(at, source, target) for at, (what, source, target) in enumerate(calls) if what == "rename"]
    assert len(named) >= 10
    for at, source, _target in named:
        before = [path for what, path, _to in calls[:at] if what == "sync"]
        assert before[-1] == "/history.db-wal"
        assert source in before[: _last(before, "/clips")]
    gone = [
        (at, path)
        for at, (what, path, _to) in enumerate(calls)
        if what == "unlink" and path in {target for _at, _source, target in named}
    ]
    assert len(gone) >= 4
    for at, path in gone:
        since = next(when for when, _source, target in named if target == path)
        assert ["sync", "/history.db-wal", ""] in calls[since:at]


def _last(paths: list[str], path: str) -> int:
    return len(paths) - 1 - paths[::-1].index(path)

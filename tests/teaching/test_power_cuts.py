"""Power cuts, kills and failing disks: no example is half there, and none is lost that was acknowledged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.campaign import IS_CAMPAIGN, SEED, repetitions
from tests.helpers.power_cuts import in_memory, make_shim, run_cuts

MODULE = "tests.teaching.powercut"
# of each manner, so many are cut at, unless a campaign cuts at all of them
CALLS, KILLS = 4, 10


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


@pytest.mark.campaign("power-cuts")
def test_killed_at_random_moments(shim: Path, memory: str) -> None:
    kills = repetitions(KILLS, 200)
    (found,) = run_cuts(MODULE, shim, memory, "random", str(kills), f"{SEED} kills")
    assert found["problems"] == []
    assert found["cuts"] == kills

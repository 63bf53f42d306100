"""A dry start finds the bundle that would run; it counts, renames and writes nothing."""

from pathlib import Path

import pytest

from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import DryStart, Startup
from daemon.updates.startup import dry_start as find_bundles
from daemon.updates.state import BundleMetrics, Probation, UpdateState
from tests.helpers.plain_bundles import release_of, write_bundle
from tests.helpers.slots import put
from tests.updates.fetching import files_below

BEFORE = BundleMetrics(moments=500, errors=0, p99_ms=None, mean_top_score=None)


class Store:
    """digits@0.6.0 is active, and on probation; digits@0.5.0 was before it, digits@0.4.0 is built in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "models"
        built_in, old, new = (write_bundle(directory / "source", version) for version in ("0.4.0", "0.5.0", "0.6.0"))
        self.built_in = BuiltInBundle("digits@0.4.0", built_in)
        self.old, self.new = (put(self.directory, one, release_of(one)) for one in (old, new))
        self.write(
            UpdateState(base=self.built_in.id, active=self.new, previous=self.old, probation=_probation(starts=2))
        )

    def write(self, state: UpdateState) -> None:
        (self.directory / "state.json").write_text(state.model_dump_json())

    def damage(self, *contents: str) -> None:
        for content in contents:
            (self.directory / "slots" / content / "head.tflite").write_bytes(b"half")

    def dry_start(self) -> DryStart:
        before = files_below(self.directory)
        found = find_bundles(self.directory, self.built_in)
        assert files_below(self.directory) == before
        return found

    def runs(self) -> str:
        runs = self.dry_start().bundle_to_run
        return self.built_in.id if runs is None else runs.slot.id

    def started(self) -> str:
        """The bundle that a real start runs."""
        return Startup(self.directory, self.built_in).load(lambda _, bundle: bundle)


def _probation(starts: int) -> Probation:
    return Probation(since=1.0, starts=starts, before=BEFORE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_dry_start_changes_nothing(store: Store) -> None:
    for _ in range(3):
        assert store.runs() == "digits@0.6.0"
    found = store.dry_start()
    assert found.state.probation == _probation(starts=2)
    assert [bundle.slot.id for bundle in found.bundles] == ["digits@0.6.0", "digits@0.5.0"]


@pytest.mark.parametrize(
    ("damaged", "runs"),
    [
        ([], "digits@0.6.0"),
        (["new"], "digits@0.5.0"),
        (["old"], "digits@0.6.0"),
        (["new", "old"], "digits@0.4.0"),
    ],
)
def test_a_damaged_bundle_would_not_run(store: Store, damaged: list[str], runs: str) -> None:
    store.write(UpdateState(base=store.built_in.id, active=store.new, previous=store.old))
    store.damage(*(getattr(store, name).content for name in damaged))
    assert store.runs() == runs == store.started()


def test_a_bundle_of_the_config_that_is_another_would_run(store: Store) -> None:
    store.built_in = BuiltInBundle("digits@0.7.0", store.built_in.directory)
    assert store.runs() == "digits@0.7.0" == store.started()


def test_without_a_state_the_built_in_bundle_would_run(store: Store, tmp_path: Path) -> None:
    store.directory = tmp_path / "none"
    assert store.dry_start() == DryStart(UpdateState())
    assert not store.directory.exists()


def test_a_damaged_or_unreadable_state_is_reported_and_not_changed(store: Store) -> None:
    path = store.directory / "state.json"
    path.write_text("{")
    found = store.dry_start()
    assert found.bundle_to_run is None
    assert found.problem is not None and found.problem.startswith(f"{path} is damaged (")
    path.unlink()
    path.mkdir()
    assert store.dry_start().problem == f"{path} cannot be read: is a directory, expected a plain file"

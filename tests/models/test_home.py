"""The recipe of `home` makes a bundle that passes its self-test, the same each time, for whoever asks for it first."""

from pathlib import Path

import numpy as np
import pytest
from demo_config import ready_bundle

from daemon.bundle.bundle import load_bundle
from daemon.cli.bundle_build import build_bundle
from daemon.cli.bundle_get import get_bundle
from daemon.doctor.service_user import find_service
from daemon.fusion.taught import NO_TAUGHT
from daemon.pipeline.heads import load_head
from tests.helpers.taught import on_streams, random_moment, teach
from tests.shared import SHARED, needs_shared

RECIPE = Path(__file__).parents[2] / "models/home/recipe.yaml"


pytestmark = [
    needs_shared,
    pytest.mark.skipif(find_service() is not None, reason="would replace the bundle of the service on this machine"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, made as the demo makes it when there is none yet."""
    directory = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_DATA_HOME", str(directory))
        made = ready_bundle("home", SHARED / "models")
        assert made == directory / "perceptd" / "bundles" / "home"
        assert ready_bundle("home", None) == made, "it is there"
    return made


def test_the_demo_makes_home_first_and_making_it_again_changes_nothing(home: Path) -> None:
    manifest = load_bundle(home).manifest
    assert list(manifest.encoder_specs) == ["sound", "scene", "people"]
    assert len(manifest.labels) == 40
    assert manifest.background == ["none"]
    # all files are equal
    again = get_bundle(RECIPE, home.parent, SHARED / "models", None, build_bundle, print)
    assert again.outcome == "unchanged"


def test_what_home_knew_before_does_not_change_when_it_is_taught(home: Path, tmp_path: Path) -> None:
    teach(home, tmp_path / "taught", {"kettle boils": on_streams("kitchen")}, scale=0.1)
    bundle, taught = load_bundle(home), load_bundle(tmp_path / "taught")
    assert taught.manifest.model_copy(update=bundle.manifest.__dict__) == bundle.manifest
    before, after = load_head(bundle), load_head(taught)
    none = bundle.manifest.labels.index("none")
    for seed in range(50):
        moment = random_moment(bundle.manifest, seed)
        old, new = before.recognise(moment), after.recognise(moment)
        np.testing.assert_array_equal(np.delete(new.scores[:40], none), np.delete(old.scores, none))
        np.testing.assert_array_equal(after.recognise(moment, NO_TAUGHT).scores, old.scores)
        assert new.scores[none] == 1 - np.delete(new.scores, none).max()

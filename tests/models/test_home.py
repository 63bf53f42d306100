"""The recipe of `home` makes a bundle that passes its self-test, the same each time, for whoever asks for it first."""

from pathlib import Path

import pytest
from demo_config import ready_bundle

from daemon.bundle.bundle import load_bundle
from daemon.cli.bundle_build import build_bundle
from daemon.cli.bundle_get import get_bundle
from daemon.doctor.service_user import find_service
from tests.shared import SHARED, needs_shared

RECIPE = Path(__file__).parents[2] / "models/home/recipe.yaml"


@needs_shared
@pytest.mark.skipif(find_service() is not None, reason="would replace the bundle of the service on this machine")
def test_the_demo_makes_home_first_and_making_it_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    home = tmp_path / "perceptd" / "bundles" / "home"
    assert ready_bundle("home", SHARED / "models") == home
    assert ready_bundle("home", None) == home, "it is there"
    manifest = load_bundle(home).manifest
    assert list(manifest.encoder_specs) == ["sound", "scene", "people"]
    assert len(manifest.labels) == 40
    assert manifest.background == ["none"]
    # all files are equal
    again = get_bundle(RECIPE, home.parent, SHARED / "models", None, build_bundle, print)
    assert again.outcome == "unchanged"

"""The recipe of `home` makes a bundle that passes its self-test, the same each time."""

from pathlib import Path

from daemon.bundle.bundle import load_bundle
from daemon.cli.bundle_build import build_bundle
from tests.shared import SHARED, needs_shared

RECIPE = Path(__file__).parents[2] / "models/home/recipe.yaml"


def ignore(_: str) -> None:
    """Show no progress."""


@needs_shared
def test_the_recipe_makes_the_same_bundle_each_time(tmp_path: Path) -> None:
    first, again = (build_bundle(RECIPE, tmp_path / name, SHARED / "models", None, ignore) for name in ("a", "b"))
    assert first.files == again.files
    manifest = load_bundle(tmp_path / "a").manifest
    assert list(manifest.encoder_specs) == ["sound", "scene", "people"]
    assert len(manifest.labels) == 40
    assert manifest.background == ["none"]

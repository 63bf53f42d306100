"""Which bundle a name means, and where a person's bundles lie."""

import os
import pwd
from pathlib import Path

import pytest

from daemon.config.bundle_places import MODELS, find_bundle, own_bundles, recipe_names
from daemon.core.errors import DocumentError

# a user without an account
STRANGER = 54_321


def bundle(directory: Path) -> Path:
    """Write what makes a directory a bundle."""
    directory.mkdir(parents=True)
    (directory / "bundle.yaml").touch()
    return directory


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/nowhere"}, "/nowhere/.local/share/perceptd/bundles"),
        ({"HOME": "/nowhere", "XDG_DATA_HOME": "/data"}, "/data/perceptd/bundles"),
        ({"HOME": "/nowhere", "XDG_DATA_HOME": "data"}, "/nowhere/.local/share/perceptd/bundles"),
        ({}, "/.local/share/perceptd/bundles"),
    ],
)
def test_the_bundles_of_a_person_lie_where_xdg_says(environment: dict[str, str], expected: str) -> None:
    assert own_bundles(environment) == Path(expected)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes into the homes of others")
@pytest.mark.parametrize("variable", ["HOME", "XDG_DATA_HOME"])
def test_root_leaves_the_home_of_another_user_alone(tmp_path: Path, variable: str) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)
    root = Path(pwd.getpwuid(0).pw_dir)
    assert own_bundles({variable: str(tmp_path / "share")}) == root / ".local" / "share" / "perceptd" / "bundles"


def test_a_directory_comes_before_a_name_and_the_places_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, service, cwd = tmp_path / "own", tmp_path / "service", tmp_path / "cwd"
    for directory in (own / "home", service / "home", service / "yard", cwd / "yard"):
        bundle(directory)
    (cwd / "home").mkdir()  # no bundle
    monkeypatch.chdir(cwd)
    found = [find_bundle(given, [own, service]) for given in ("home", "yard", "../service/yard", "none/such")]
    assert found == [own / "home", cwd / "yard", cwd / "../service/yard", cwd / "none/such"]
    monkeypatch.chdir(tmp_path)
    assert find_bundle("yard", [own, service]) == service / "yard"
    assert find_bundle("digits") == MODELS / "digits"


def test_a_name_without_a_bundle_leads_to_those_that_there_are(tmp_path: Path) -> None:
    own, models = bundle(tmp_path / "own" / "yard").parent, tmp_path / "models"
    (models / "home").mkdir(parents=True)
    (models / "home" / "recipe.yaml").touch()
    missing = f"no bundle of this name in {own}, {models}, and no directory"
    with pytest.raises(DocumentError) as error:
        find_bundle("hose", [own, models])
    assert str(error.value) == f"hose: {missing} hose here; there are home, yard"
    with pytest.raises(DocumentError) as error:
        find_bundle("home", [own, models])
    assert str(error.value) == f"home: {missing} home here; make it by: perceptd bundle get home"


def test_recipes_have_the_names_of_their_directories(tmp_path: Path) -> None:
    for name in ("yard", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").touch()
    bundle(tmp_path / "digits")
    assert recipe_names(tmp_path) == ["home", "yard"]
    assert recipe_names(tmp_path / "none") == []

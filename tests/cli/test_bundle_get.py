"""`perceptd bundle get`: where the bundle lies, what becomes of the one before, and what the service's user may do."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.cli.bundle_build import build_bundle
from daemon.cli.bundle_get import EXAMPLE_CONFIG, PlacedBundle, get_bundle, usage
from daemon.cli.bundle_place import LOCK_FILE
from daemon.cli.parser import new_parser
from daemon.core.errors import BundleError, Refused
from daemon.doctor.service_user import Service
from tests.fakes.bundle_build import FakeBuild
from tests.helpers.daemon import ROOT
from tests.helpers.recipes import recipe, write_pixels, write_recipe

RECIPE = Path("models/home/recipe.yaml")

# a user without an account
STRANGER = 54_321
SERVICE = Service("stranger", STRANGER, STRANGER, ())

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


def get(place: Path, build: FakeBuild, service: Service | None = None) -> PlacedBundle:
    return get_bundle(RECIPE, place, None, service, build, print)


def version(place: Path) -> str:
    """Return the version of the bundle that lies there, alone."""
    assert sorted(path.name for path in place.iterdir()) == [LOCK_FILE, "home"]
    return load_bundle(place / "home").manifest.version


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "share" / "bundles"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own belong to one user alone."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def test_a_bundle_is_made_once_and_another_version_replaces_it_as_a_whole(place: Path) -> None:
    assert get(place, FakeBuild()) == PlacedBundle("brightness@1.2.3", str(place / "home"), "new", None)
    before = {path: path.stat() for path in (place / "home", *(place / "home").rglob("*"))}
    assert get(place, FakeBuild()).outcome == "unchanged"
    assert {path: path.stat() for path in before} == before
    (place / "home" / "old.tflite").touch()
    assert get(place, FakeBuild("1.3.0")).outcome == "replaced"
    assert version(place) == "1.3.0"
    assert not (place / "home" / "old.tflite").exists()


def test_a_bundle_that_somebody_has_changed_is_made_again(place: Path) -> None:
    get(place, FakeBuild())
    cases = place / "home" / "selftest" / "cases.yaml"
    cases.write_text(cases.read_text() + "\n")
    assert get(place, FakeBuild()).outcome == "replaced"
    cases.chmod(0o600)
    assert get(place, FakeBuild()).outcome == "replaced"
    assert get(place, FakeBuild()).outcome == "unchanged"


def test_a_build_that_fails_leaves_the_bundle_of_before(place: Path) -> None:
    get(place, FakeBuild())
    with pytest.raises(BundleError, match="no such class"):
        get(place, FakeBuild("1.3.0", problem="no such class"))
    assert version(place) == "1.2.3"


def test_what_a_killed_run_has_left_is_removed(place: Path) -> None:
    (place / ".home-x1y2z3" / "home").mkdir(parents=True)
    get(place, FakeBuild())
    assert version(place) == "1.2.3"


def test_two_runs_do_not_work_in_one_place(place: Path) -> None:
    place.mkdir(parents=True)
    descriptor = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Refused, match=f"^{place}: another `perceptd bundle get` is at work there"):
        get(place, FakeBuild())
    os.close(descriptor)
    assert get(place, FakeBuild()).outcome == "new"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_only_a_directory_is_replaced(place: Path, kind: str) -> None:
    place.mkdir(parents=True)
    if kind == "file":
        (place / "home").touch()
    else:
        (place / "home").symlink_to(place)
    with pytest.raises(Refused, match=f"^{place / 'home'}: is not a directory; remove it"):
        get(place, FakeBuild())


def test_a_directory_that_is_no_bundle_stays(place: Path) -> None:
    (place / "home").mkdir(parents=True)
    assert get(place, FakeBuild()).outcome == "replaced", "an empty one is nobody's"
    (place / "home" / "bundle.yaml").unlink()
    with pytest.raises(Refused, match=f"^{place / 'home'}: is a directory without bundle.yaml"):
        get(place, FakeBuild())
    assert (place / "home" / "image.tflite").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "share").touch()
    with pytest.raises(Refused, match=f"^{tmp_path / 'share'}.*: (Not a directory|File exists)$"):
        get(tmp_path / "share" / "bundles", FakeBuild())


@needs_root
def test_a_bundle_for_the_service_is_roots_own_and_everybody_may_read_it(public: Path) -> None:
    place = public / "perceptd-bundles"
    place.mkdir()
    os.chown(place, STRANGER, STRANGER)
    before = os.umask(0o077)
    try:
        assert get(place, FakeBuild(), SERVICE).user == "stranger"
    finally:
        os.umask(before)
    found = {path: path.stat() for path in (place, *place.rglob("[!.]*"))}
    assert {(status.st_uid, status.st_gid) for status in found.values()} == {(0, 0)}
    assert {oct(status.st_mode & 0o777) for path, status in found.items() if path.is_dir()} == {"0o755"}
    assert version(place) == "1.2.3"


@needs_root
def test_the_services_user_may_use_the_bundle_of_a_recipe(public: Path) -> None:
    model = write_pixels()
    (public / "models").mkdir()
    (public / "models" / "any-name.tflite").write_bytes(model)
    recipe_file = write_recipe(public / "pixels", recipe(model), {"bright": 1.0})
    steps: list[str] = []
    placed = get_bundle(recipe_file, public / "own", public / "models", SERVICE, build_bundle, steps.append)
    assert placed == PlacedBundle("pixels@1.0.0", str(public / "own" / "pixels"), "new", "stranger")
    assert steps[-1] == "running the self-test as the service's user stranger"


@needs_root
def test_a_bundle_of_another_owner_is_replaced(public: Path) -> None:
    get(public / "bundles", FakeBuild())
    os.chown(public / "bundles" / "home" / "image.tflite", STRANGER, STRANGER)
    assert get(public / "bundles", FakeBuild()).outcome == "replaced"


def close_model(directory: Path) -> None:
    (directory / "image.tflite").chmod(0o600)


def expect_dark(directory: Path) -> None:
    cases = directory / "selftest" / "cases.yaml"
    cases.write_text(cases.read_text().replace("bright", "dark"))


@needs_root
@pytest.mark.parametrize(
    ("then", "problem"),
    [
        (close_model, "bundle.yaml:12: modalities.image.model: image.tflite: cannot be read: Permission denied"),
        (expect_dark, "selftest/cases.yaml:2: cases.0: dark scored 0.000, expected 1.000 within 0.05"),
    ],
)
def test_a_bundle_that_fails_as_the_services_user_is_not_put_in_its_place(public: Path, then, problem: str) -> None:
    get(public / "bundles", FakeBuild())
    with pytest.raises(BundleError) as error:
        get(public / "bundles", FakeBuild("1.3.0", then=then), SERVICE)
    assert str(error.value) == f"home: fails its self-test as user stranger:\n{problem}"
    assert version(public / "bundles") == "1.2.3"


@needs_root
def test_a_directory_that_the_services_user_may_not_enter_is_named(public: Path) -> None:
    (public / "disk").mkdir(0o700)
    with pytest.raises(Refused) as error:
        get(public / "disk" / "bundles", FakeBuild(), SERVICE)
    assert str(error.value) == (
        f"the service's user stranger may not read {public}/disk/bundles, because of {public}/disk; "
        "let everybody enter the directories above it (chmod o+x)"
    )
    assert [path.name for path in (public / "disk" / "bundles").iterdir()] == [LOCK_FILE]


@pytest.mark.parametrize(
    ("placed", "config", "has_service", "expected"),
    [
        (
            PlacedBundle("home@1.0.0", "/b/home", "new", None),
            None,
            False,
            [
                "home@1.0.0: made in /b/home",
                "To try it, run: perceptd run --bundle home --microphone default",
                "To use it, write into config.yaml:",
                "  bundle: /b/home",
            ],
        ),
        (
            PlacedBundle("home@1.0.0", "/b/home", "unchanged", None),
            EXAMPLE_CONFIG,
            True,
            [
                "home@1.0.0: up to date in /b/home",
                f"To try it, run: perceptd run --config {ROOT}/config.yaml --bundle home --microphone default",
                "To use it, write into config.yaml:",
                "  bundle: /b/home",
                "The installed service cannot read it there. For the service: sudo perceptd bundle get home",
            ],
        ),
        (
            PlacedBundle("home@1.1.0", "/b/home", "replaced", "perceptd"),
            EXAMPLE_CONFIG,
            True,
            [
                "home@1.1.0: has replaced the bundle in /b/home. A node that runs uses the one of before until it is "
                "restarted",
                "It has passed its self-test as the service's user perceptd.",
                "To use it, write into /etc/perceptd/config.yaml:",
                "  bundle: /b/home",
                "Then run: sudo systemctl reload-or-restart perceptd",
            ],
        ),
    ],
)
def test_the_way_to_use_a_bundle_is_said(
    placed: PlacedBundle, config: Path | None, has_service: bool, expected: list[str]
) -> None:
    assert list(usage(placed, config, has_service=has_service)) == expected


def test_a_name_without_a_recipe_is_refused_with_the_names_that_there_are() -> None:
    options = new_parser().parse_args(["bundle", "get", "../home", "--json"])
    with pytest.raises(Refused, match=f"^{ROOT / 'models'} has no recipe \\.\\./home; there are "):
        options.execute(options)

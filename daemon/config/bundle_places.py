"""Where bundles lie that were made of the recipes beside the program, and which bundle a name means."""

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon.bundle.manifest import MANIFEST
from daemon.config.places import xdg_directory
from daemon.core.errors import DocumentError

# beside the program: shipped bundles, and recipes of others
MODELS = Path(__file__).resolve().parents[2] / "models"

RECIPE = "recipe.yaml"

# of a person, in the home: for data of programs
OWN_DATA = ".local/share"

# below it
OWN_BUNDLES = "perceptd/bundles"

# of the installed service. Not below its state directory: the service may read these files, and not write them
SERVICE_BUNDLES = Path("/var/lib/perceptd-bundles")


def own_bundles(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of the bundles of the person who runs this program.

    Root gets the directory below its own home where the environment names somebody else's, as sudo may leave it.
    """
    base = xdg_directory(environment, "XDG_DATA_HOME", OWN_DATA)
    if os.geteuid() == 0 and _owner(base) != 0:
        base = Path(pwd.getpwuid(0).pw_dir) / OWN_DATA
    return base / OWN_BUNDLES


def bundle_places() -> list[Path]:
    """Return the directories in which a bundle is looked for by its name, the first to be taken first."""
    return [own_bundles(), SERVICE_BUNDLES, MODELS]


def find_bundle(given: str, places: Sequence[Path] | None = None) -> Path:
    """Return the directory of a bundle that is given by its directory, or by its name. A directory comes first.

    Raises DocumentError when there is no bundle of that name.
    """
    directory = Path(given)
    if _has(directory, MANIFEST) or directory.name != given:
        return directory.absolute()
    where = bundle_places() if places is None else places
    for place in where:
        if _has(place / given, MANIFEST):
            return place / given
    missing = f"{given}: no bundle of this name in {', '.join(map(str, where))}, and no directory {given} here"
    if any(_has(place / given, RECIPE) for place in where):
        raise DocumentError([f"{missing}; make it by: perceptd bundle get {given}"])
    known = {found.parent.name for place in where for name in (MANIFEST, RECIPE) for found in place.glob(f"*/{name}")}
    raise DocumentError([f"{missing}; there are {', '.join(sorted(known)) or 'none'}"])


def recipe_names(models: Path = MODELS) -> list[str]:
    """Return the names of the recipes beside the program, sorted."""
    return sorted(path.parent.name for path in models.glob(f"*/{RECIPE}"))


def _has(directory: Path, name: str) -> bool:
    # unlike Path.is_file, this is False where a directory on the way is closed to this user
    return os.path.isfile(directory / name)  # noqa: PTH113


def _owner(path: Path) -> int:
    """Return the user who owns a path, or the nearest directory above it that exists."""
    return next(each for each in (path, *path.parents) if os.path.exists(each)).stat().st_uid  # noqa: PTH110

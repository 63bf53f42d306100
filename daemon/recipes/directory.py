"""The directory of a bundle that is being built: made beside its place, and put there as a whole."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.bundle.bundle import CASES_FILE
from daemon.bundle.files import LICENCES
from daemon.bundle.manifest import MANIFEST, SELFTEST_DIRECTORY
from daemon.bundle.release import MAX_FILES
from daemon.core.errors import Refused
from daemon.core.files import open_regular, replace_directory, sync_directory
from daemon.core.sealed import CHUNK_BYTES
from daemon.recipes.leftovers import temporary_directory

# a bundle is no secret, and a node may run as another user
FILE_MODE, DIRECTORY_MODE = 0o644, 0o755

# of the directory in which a bundle is built, beside its place
BUILD_PREFIX = ".perceptd-build-"

# of one input of the self-test: a minute of sound has some megabytes
MAX_CASE_BYTES = 64 * 1024 * 1024


def check_place(place: Path, needed: Iterable[Path]) -> None:
    """Raise Refused when `place` is neither new, nor a bundle or an empty directory, or has files that are needed."""
    if (obstacle := obstacle_at(place)) is not None:
        raise Refused(f"{place}: {obstacle}; give --out another directory")
    for path in needed:
        if path.resolve().is_relative_to(place.resolve()):
            raise Refused(f"{place}: has {path} in it, which would be lost; give --out another directory")


def obstacle_at(place: Path) -> str | None:
    """Return why no bundle may take the place of what lies there; None: one may."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        return "is not a directory"
    if place.is_dir() and any(place.iterdir()) and not (place / MANIFEST).is_file():
        return f"is a directory without {MANIFEST}, so no bundle"
    return None


@contextmanager
def new_directory(place: Path) -> Iterator[Path]:
    """Give a block a new directory beside `place`. What is left of it after the block is removed. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with temporary_directory(place.parent, BUILD_PREFIX) as temporary:
        new = temporary / place.name
        new.mkdir()
        yield new


def parts_of(source: Path) -> list[Path]:
    """Return the files beside a recipe that belong to its bundle: the self-test, and the licence if there is one.

    The paths are relative to the recipe's directory `source`. Raises Refused when there is no self-test, and OSError.
    """
    selftest = source / SELFTEST_DIRECTORY
    if not (selftest / CASES_FILE).is_file():
        raise Refused(f"{selftest / CASES_FILE}: is missing; a bundle needs a self-test (see docs/bundle.md)")
    paths = [path for path in sorted(selftest.iterdir()) if path.is_file() and not path.name.startswith(".")]
    if len(paths) > MAX_FILES:
        raise Refused(f"{selftest}: has {len(paths)} files, at most {MAX_FILES} are possible")
    licences = [source / name for name in LICENCES if (source / name).is_file()]
    return [path.relative_to(source) for path in (*paths, *licences)]


def copy_parts(source: Path, parts: Iterable[Path], new: Path) -> None:
    """Copy the parts from the recipe's directory to the bundle. Raises Refused when one is too large."""
    (new / SELFTEST_DIRECTORY).mkdir()
    for part in parts:
        _copy(source / part, new / part)


def put(new: Path, place: Path, needed: Iterable[Path]) -> dict[str, str]:
    """Give a finished bundle its place, and return the SHA-256 of its files by path. Raises Refused, and OSError."""
    hashes = {}
    for path in sorted(new.rglob("*")):
        if path.is_dir():
            path.chmod(DIRECTORY_MODE)
            continue
        with path.open("rb") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            hashes[str(path.relative_to(new))] = hashlib.sha256(file.read()).hexdigest()
            os.fsync(file.fileno())
    new.chmod(DIRECTORY_MODE)
    sync_directory(new)
    check_place(place, needed)
    try:
        new.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        replace_directory(new, place)
    sync_directory(place.parent)
    return hashes


def _copy(source: Path, target: Path) -> None:
    copied = 0
    with open_regular(source) as reader, target.open("wb") as writer:
        while chunk := reader.read(CHUNK_BYTES):
            copied += len(chunk)
            if copied > MAX_CASE_BYTES:
                raise Refused(f"{source}: has more than {MAX_CASE_BYTES} bytes")
            writer.write(chunk)

"""Bundles that were added and are not published yet: copies of just those files that will be signed."""

import shutil
from pathlib import Path

from pydantic import ValidationError

from daemon.errors import Refused
from daemon.files import replace_file, sync_directory
from daemon.publisher.catalogue import in_order
from daemon.publisher.contents import copy_file
from daemon.release import Release

RELEASE = "release.json"
FILES = "files"


class Staging:
    """A directory with one more for each bundle: what is to be signed, and its files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, release: Release, bundle: Path) -> None:
        """Copy a bundle; one of the same name and version that waits is replaced.

        Raises BundleError when its files have changed since the release was made of them, and OSError.
        """
        new = self._directory / f".{release.id}.new"
        shutil.rmtree(new, ignore_errors=True)
        (new / FILES / "selftest").mkdir(parents=True)
        for entry in release.files:
            copy_file(bundle, entry, new / FILES / entry.path)
        replace_file(new / RELEASE, release.model_dump_json().encode())
        self.remove(release)
        new.rename(self._directory / release.id)
        sync_directory(self._directory)

    def releases(self) -> list[Release]:
        """What waits, in the order of names and versions. Raises Refused when something is damaged, and OSError."""
        return in_order(_read(path) for path in self._directory.glob(f"[!.]*/{RELEASE}"))

    def files(self, release: Release) -> Path:
        """The directory with the copies of a bundle's files."""
        return self._directory / release.id / FILES

    def remove(self, release: Release) -> None:
        """Forget a bundle, if it waits. Raises OSError."""
        if (self._directory / release.id).is_dir():
            gone = self._directory / f".{release.id}.gone"
            shutil.rmtree(gone, ignore_errors=True)
            (self._directory / release.id).rename(gone)
            shutil.rmtree(gone)


def _read(path: Path) -> Release:
    try:
        return Release.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Refused(f"{path}: is damaged; remove {path.parent}, and add the bundle again") from error

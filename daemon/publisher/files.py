"""The files of published bundles, where they are served: put there, looked at, put back."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from daemon.files import sync_directory
from daemon.publisher.contents import SERVED_DIRECTORY, SERVED_FILE, copy_file, is_copy, served_name, target_name
from daemon.release import FileEntry, Release


def make_served(*directories: Path) -> None:
    """Make directories, each in one that is there, which a web server can read. Raises OSError."""
    for directory in directories:
        if not directory.is_dir():
            directory.mkdir()
            directory.chmod(SERVED_DIRECTORY)


def serve(targets: Path, release: Release, bundle: Path) -> None:
    """Copy a bundle's files to where they are served; nobody looks there until they are signed.

    Raises BundleError when one is not what it was, and OSError.
    """
    for entry in release.files:
        _copy(targets, release, entry, bundle)
    version = targets / release.signed.name / release.signed.version
    for directory in (version, version.parent, targets):
        sync_directory(directory)


def put_back(targets: Path, release: Release, bundle: Path) -> int:
    """Copy those files of a published bundle that are missing or not what was signed; gives how many.

    Raises BundleError when one is not what it was, and OSError.
    """
    lost = [entry for entry in release.files if not is_copy(_place(targets, release, entry), entry)]
    for entry in lost:
        _copy(targets, release, entry, bundle)
    return len(lost)


def flaws(targets: Path, releases: Iterable[Release]) -> Iterator[str]:
    """Files that are missing, or have another size than was signed, in words. Raises OSError."""
    for release in releases:
        for entry in release.files:
            path = _place(targets, release, entry)
            if not path.is_file():
                yield f"{path}: is missing; restore it, or add {release.id} again, which puts it back"
            elif (size := path.stat().st_size) != entry.length:
                words = f"has {size} bytes, but {entry.length} were signed"
                yield f"{path}: {words}; restore it, or add {release.id} again, which puts it back"


def _copy(targets: Path, release: Release, entry: FileEntry, bundle: Path) -> None:
    path = _place(targets, release, entry)
    make_served(*(parent for parent in reversed(path.parents) if parent.is_relative_to(targets)))
    copy_file(bundle, entry, path, SERVED_FILE)


def _place(targets: Path, release: Release, entry: FileEntry) -> Path:
    return targets / served_name(target_name(release, entry), entry.sha256)

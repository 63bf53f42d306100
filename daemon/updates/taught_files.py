"""Moves the directory of a bundle that was taught on this device into a slot, with the list of its files."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR

from pydantic import ValidationError

from daemon.bundle.manifest import SELFTEST_DIRECTORY
from daemon.bundle.release import (
    FILE_LIST_NAME,
    MAX_BUNDLE_BYTES,
    MAX_FILES,
    TAUGHT_SINCE,
    BundleFiles,
    BundleInfo,
    FileEntry,
    file_list,
)
from daemon.core.errors import UpdateError
from daemon.core.files import (
    ForeignFile,
    check_own_directory,
    create_own,
    open_own,
    remove,
    replace_file,
    sync_directory,
)
from daemon.updates.slots import CHUNK_BYTES, MB, Slots
from daemon.updates.steps import Beat

# What the trial of a taught bundle may use, which nobody has declared: far more than its models need. Household sounds
# and sights have 12 MB of files and need 56 MB, digits 2 MB and 16 MB.
SPARE_MB, MEMORY_PER_FILE = 64, 8


def describe(directory: Path, bundle: str, beat: Beat) -> BundleFiles:
    """The files of a taught bundle; `bundle` is its id. Raises UpdateError when it cannot be installed."""
    name, _, version = bundle.partition("@")
    try:
        paths = sorted(_paths(directory))
        if len(paths) > MAX_FILES:
            raise UpdateError("bundle", f"{directory} has {len(paths)} files, at most {MAX_FILES} are expected")
        files = tuple(_entry(directory, path, beat) for path in paths)
        memory_mb = SPARE_MB + MEMORY_PER_FILE * -(-sum(entry.length for entry in files) // MB)
        info = BundleInfo(name=name, version=version, needs_perceptd=TAUGHT_SINCE, memory_mb=memory_mb)
        return BundleFiles(signed=info, files=files)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "its files"
        raise UpdateError("bundle", f"{directory} is no bundle {bundle}: {where}: {problem['msg']}") from error
    except ForeignFile as error:
        raise UpdateError("bundle", f"{error.filename} {error.strerror}") from error
    except OSError as error:
        reason = f"{error.strerror or error}: {error.filename}"
        raise UpdateError("disk", f"{directory} cannot be read: {reason}") from error


def store(directory: Path, release: BundleFiles, slots: Slots, beat: Beat) -> None:
    """Move the directory into the slot of its content, flushed to disk. Raises UpdateError."""
    place = slots.create_download_dir(release.content)
    try:
        _move(directory, place, release, beat)
        for entry in release.files:
            beat()
            with open_own(place / entry.path, entry.length) as file:
                os.fsync(file.fileno())
        replace_file(place / FILE_LIST_NAME, file_list(release.files))
        for inner in sorted({(place / entry.path).parent for entry in release.files}, reverse=True):
            sync_directory(inner)
    except OSError as error:
        raise UpdateError("disk", f"{error.filename or place}: {error.strerror or error}") from error
    slots.promote(release.content)


def _paths(directory: Path) -> Iterator[str]:
    """The files of a bundle, relative to its directory. Raises OSError."""
    check_own_directory(directory)
    for path in directory.iterdir():
        if path.name == FILE_LIST_NAME:
            continue  # of the bundle that it was copied from
        if path.name != SELFTEST_DIRECTORY or not S_ISDIR(path.lstat().st_mode):
            yield path.name
            continue
        check_own_directory(path)
        yield from (f"{SELFTEST_DIRECTORY}/{inner.name}" for inner in path.iterdir())


def _entry(directory: Path, path: str, beat: Beat) -> FileEntry:
    digest, length = hashlib.sha256(), 0
    with open_own(directory / path, MAX_BUNDLE_BYTES) as file:
        while chunk := file.read(CHUNK_BYTES):
            beat()
            digest.update(chunk)
            length += len(chunk)
    return FileEntry(path=path, length=length, sha256=digest.hexdigest())


def _move(directory: Path, place: Path, release: BundleFiles, beat: Beat) -> None:
    remove(place)
    try:
        directory.rename(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(directory, place, release, beat)
        remove(directory)


def _copy(directory: Path, place: Path, release: BundleFiles, beat: Beat) -> None:
    """Copy the files to another disk."""
    for entry in release.files:
        beat()
        (place / entry.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_own(directory / entry.path, entry.length) as reader, create_own(place / entry.path) as writer:
            shutil.copyfileobj(reader, writer)

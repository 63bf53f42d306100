"""Whether a bundle's directory in the store is what it is named after, byte by byte."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from daemon.bundles.ports import Beat
from daemon.errors import UpdateError
from daemon.files import read_bounded
from daemon.release import LISTING, FileEntry

LISTING_BYTES = 256 * 1024
"""A bundle has 400 files at most (release.py), with some 200 bytes each in its listing."""

CHUNK_BYTES = 1024 * 1024
"""The slowest boards hash so much in a tenth of a second."""


def check_whole(directory: Path, content: str, beat: Beat) -> None:
    """Raises UpdateError when the directory is not whole: `content` names its listing, which names all its files."""
    try:
        files = _listed(directory / LISTING, content)
        for entry in files:
            _check_file(directory / entry.path, entry, beat)
    except OSError as error:
        raise UpdateError("disk", f"{directory} is not whole: {error.strerror or error}: {error.filename}") from error


def _listed(path: Path, content: str) -> list[FileEntry]:
    text = read_bounded(path, LISTING_BYTES)
    if hashlib.sha256(text).hexdigest() != content:
        raise UpdateError("disk", f"{path} is damaged")
    try:
        return [_entry(line) for line in text.decode().splitlines()]
    except (ValueError, ValidationError) as error:
        raise UpdateError("disk", f"{path} makes no sense") from error


def _entry(line: str) -> FileEntry:
    sha256, length, path = line.split(" ")
    return FileEntry(path=path, length=int(length), sha256=sha256)


def _check_file(path: Path, entry: FileEntry, beat: Beat) -> None:
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            beat()
            digest.update(chunk)
            length += len(chunk)
    if length != entry.length or digest.hexdigest() != entry.sha256:
        raise UpdateError("disk", f"{path} is damaged")

"""Downloads metadata and bundle files from a web server or a directory, and checks files against the release."""

import os
import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadHTTPError, LengthOrHashMismatchError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface

from daemon import __version__
from daemon.bundle.release import FILE_LIST_NAME, MAX_LISTING_BYTES, FileEntry, Release, file_list
from daemon.core.errors import UpdateError
from daemon.core.files import (
    READ_FLAGS,
    ForeignFile,
    check_own_directory,
    create_own,
    create_own_directory,
    open_own,
    open_regular,
    own_file_problem,
    read_own,
    remove,
    replace_file,
)
from daemon.runtime.http import CHUNK_BYTES, HttpClient, TransferError, bounded, without_credentials

# for one metadata file: most have a few kilobytes, and a catalogue of a thousand files has 200 kB
METADATA_S = 120.0

# a file is written under this name until it is complete; no file of a bundle begins with a dot
UNFINISHED = ".fetching"


class Transport(FetcherInterface):
    """Fetches files below `source`, an http, https or file URL; no file may take longer than `limit_s`.

    It replaces TUF's own Urllib3Fetcher, which sends no login to a proxy and repeats requests.
    That one also follows redirects to plain http, and has no limit for a slow sender.
    """

    def __init__(self, source: str, limit_s: float = float("inf")) -> None:
        self.base = without_credentials(source).rstrip("/") + "/"
        self._limit_s = limit_s
        self._client = HttpClient(source, f"perceptd/{__version__}")

    def chunks(self, url: str, max_bytes: int) -> Generator[bytes, None, None]:
        """The content of a file. Raises UpdateError, also if the file has more than `max_bytes`."""
        try:
            yield from bounded(self._fetch(url), url, max_bytes, self._limit_s)
        except TransferError as error:
            raise UpdateError("source", str(error)) from error

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The content of a metadata file, for TUF. Unlike the inherited method, it needs no temporary file."""
        try:
            return b"".join(bounded(self._fetch(url), url, max_length, self._limit_s))
        except TransferError as error:
            raise DownloadHTTPError(str(error), error.status) from error

    def _fetch(self, url: str) -> Generator[bytes, None, None]:
        return _read_file(url) if url.startswith("file:") else self._client.chunks(url)


class DownloadDir:
    """The directory into which a release is downloaded. Every method may raise OSError."""

    def __init__(self, directory: Path, release: Release) -> None:
        self._directory = directory
        self._release = release
        self._unfinished = directory / UNFINISHED

    def prepare(self) -> None:
        """Create the directory, and remove what does not belong to the release, and what is no plain file of ours.

        So nothing is read or written through a link.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_own_directory(self._directory)
        lengths = {self._path(entry): entry.length for entry in self._release.files}
        directories = {path.parent for path in lengths} - {self._directory}
        for directory in directories:
            create_own_directory(directory)
        for path in [path for directory in (self._directory, *directories) for path in directory.iterdir()]:
            if path not in directories and not (path in lengths and _is_own(path, lengths[path])):
                remove(path)

    def has(self, entry: FileEntry) -> bool:
        """Whether the file is there and correct."""
        return _is_correct(self._path(entry), entry)

    def copy(self, entry: FileEntry, source: Path) -> bool:
        """Copy the file from another bundle; returns False if it is not the same file."""
        if not _is_copy(source, entry):
            return False
        try:
            # not a link: damage to one file must not damage the other
            with open_regular(source) as reader, create_own(self._unfinished) as writer:
                shutil.copyfileobj(reader, writer)
            return self._finish(entry)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def write(self, entry: FileEntry, chunks: Iterable[bytes]) -> bool:
        """Write the file from downloaded chunks; returns False if they are not what was signed."""
        try:
            with create_own(self._unfinished) as file:
                for chunk in chunks:
                    file.write(chunk)
            return self._finish(entry)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def seal(self) -> None:
        """Flush all files to disk, read them back from there, and write the listing.

        Raises UpdateError if a file was not stored correctly. That file is removed, so that it is fetched again.
        """
        for entry in self._release.files:
            path = self._path(entry)
            _sync(path)
            if not _is_correct(path, entry):
                path.unlink()
                raise UpdateError("disk", f"{path}: reads back differently than written: the disk or card is failing")
        replace_file(self._directory / FILE_LIST_NAME, file_list(self._release.files))
        for directory in sorted({self._path(entry).parent for entry in self._release.files}, reverse=True):
            _sync(directory)

    def _finish(self, entry: FileEntry) -> bool:
        if not _is_correct(self._unfinished, entry):
            return False
        self._unfinished.replace(self._path(entry))
        return True

    def _path(self, entry: FileEntry) -> Path:
        return self._directory / entry.path


class LocalFiles:
    """Files of bundles that are on the device already."""

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories = list(directories)
        self._listed: dict[tuple[str, int], Path] = {}
        for directory in self._directories:
            self._listed.update(listed_files(directory))

    def find(self, entry: FileEntry) -> Path | None:
        """A file that is probably the same: one with the same hash in a listing, or with the same name and length."""
        return self._listed.get((entry.sha256, entry.length)) or self._of_same_name(entry)

    def _of_same_name(self, entry: FileEntry) -> Path | None:
        # the built-in bundle has no listing
        for path in (directory / entry.path for directory in self._directories):
            with suppress(OSError):
                if path.stat().st_size == entry.length:
                    return path
        return None


def listed_files(directory: Path) -> Mapping[tuple[str, int], Path]:
    """The files in the listing of a slot by sha256 and length; none if there is no readable listing."""
    try:
        lines = read_own(directory / FILE_LIST_NAME, MAX_LISTING_BYTES).decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        sha256, length, path = (*line.split(" ", 2), "", "")[:3]
        if length.isdecimal():
            found[sha256, int(length)] = directory / path
    return found


def matches(file: IO[bytes], entry: FileEntry) -> bool:
    """Whether the content has the signed length and hash. Raises OSError."""
    target = TargetFile(entry.length, {"sha256": entry.sha256}, entry.path)
    try:
        target.verify_length_and_hashes(file)
    except LengthOrHashMismatchError:
        return False
    return True


def _read_file(url: str) -> Generator[bytes, None, None]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TransferError(f"{url}: there is no such file: is its disk mounted and complete?", 404) from error
    except OSError as error:
        raise TransferError(f"{url}: cannot be read: {os.strerror(error.errno or 0)}") from error


def _is_correct(path: Path, entry: FileEntry) -> bool:
    """Whether a file of this download is as it was signed. Raises OSError of the disk."""
    try:
        with open_own(path, entry.length) as file:
            return matches(file, entry)
    except (FileNotFoundError, ForeignFile):
        return False


def _is_own(path: Path, length: int) -> bool:
    return own_file_problem(path, path.lstat(), length) is None


def _is_copy(path: Path, entry: FileEntry) -> bool:
    """Whether a file of another bundle, which may be an operator's, is the same."""
    try:
        with open_regular(path) as file:
            return os.fstat(file.fileno()).st_size == entry.length and matches(file, entry)
    except OSError:
        return False  # a disk error in another bundle must not prevent this download


def _sync(path: Path) -> None:
    """Flush a file or directory to disk, and drop it from the page cache: the next read shows what the disk has."""
    descriptor = os.open(path, READ_FLAGS | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)

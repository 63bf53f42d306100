"""What the processes do that fetch bundles: each function is one stage, with a JSON request and a JSON answer.

They are run by runtime/child.py: never in the process that holds the camera.
"""

import errno
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from daemon.bundle.release import FILE_LIST_NAME, MAX_OFFERS, FileEntry, Offer, Release, file_list
from daemon.core.errors import UpdateError
from daemon.core.files import read_bounded, replace_file
from daemon.updates.fetch.catalogue import Catalogue, catalogue, choose, newest
from daemon.updates.messages import (
    SKIPPED_MOST,
    DownloadRequest,
    DownloadResult,
    LookResult,
    ResolveRequest,
    ResolveResult,
    SourceRequest,
    VerifyRequest,
    VerifyResult,
    failure,
    success,
)

if TYPE_CHECKING:
    from daemon.updates.fetch.download import Transport

RequestT = TypeVar("RequestT", bound=BaseModel)

FETCHING = ".fetching"
"""The file that is not whole yet; no file of a bundle begins with a dot."""

LISTING_BYTES_MOST = 200_000
"""A thousand files with long names."""


class Partial:
    """What is there of a release. Every method may raise OSError."""

    def __init__(self, directory: Path, release: Release) -> None:
        self._directory = directory
        self._release = release
        self._fetching = directory / FETCHING

    def prepare(self) -> None:
        """Make the directory, and remove what does not belong to the release."""
        for entry in self._release.files:
            self._path(entry).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        wanted = {self._path(entry) for entry in self._release.files}
        for path in [path for path in self._directory.rglob("*") if path not in wanted and not path.is_dir()]:
            path.unlink()

    def has(self, entry: FileEntry) -> bool:
        """Whether the file is there, as it was signed."""
        return _is(self._path(entry), entry)

    def adopt(self, entry: FileEntry, source: Path) -> bool:
        """Copy a file that should be the same; whether it is. A link would share the other one's fate."""
        if not _can_be_read(source, entry):
            return False
        try:
            shutil.copyfile(source, self._fetching)
            return self._keep(entry)
        finally:
            self._fetching.unlink(missing_ok=True)

    def take(self, entry: FileEntry, chunks: Iterable[bytes]) -> bool:
        """Write what comes; whether it is what was signed."""
        try:
            with self._fetching.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            return self._keep(entry)
        finally:
            self._fetching.unlink(missing_ok=True)

    def seal(self) -> None:
        """Bring everything to the disk, read it back from there, and list it.

        Raises UpdateError; a file that cannot be read back is removed, so that it is fetched again.
        """
        for entry in self._release.files:
            path = self._path(entry)
            _sync(path)
            if not _is(path, entry):
                path.unlink()
                raise UpdateError("disk", f"{path}: what was written cannot be read back: the disk fails, or its card")
        replace_file(self._directory / FILE_LIST_NAME, file_list(self._release.files))
        for directory in sorted({self._path(entry).parent for entry in self._release.files}, reverse=True):
            _sync(directory)

    def _keep(self, entry: FileEntry) -> bool:
        if not _is(self._fetching, entry):
            return False
        self._fetching.replace(self._path(entry))
        return True

    def _path(self, entry: FileEntry) -> Path:
        return self._directory / entry.path


def contents(slot: Path) -> dict[tuple[str, int], Path]:
    """The files that a slot of the store lists, by sha256 and length; none if its list cannot be read."""
    found = {}
    try:
        lines = read_bounded(slot / FILE_LIST_NAME, LISTING_BYTES_MOST).decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        sha256, length, path = (*line.split(" ", 2), "", "")[:3]
        if length.isdecimal():
            found[sha256, int(length)] = slot / path
    return found


def namesake(directories: Iterable[str], entry: FileEntry) -> Path | None:
    """A file of the same name and length, in a bundle that nobody has listed: the one that came with the program."""
    for path in (Path(directory) / entry.path for directory in directories):
        with suppress(OSError):
            if path.stat().st_size == entry.length:
                return path
    return None


def _is(path: Path, entry: FileEntry) -> bool:
    from daemon.updates.fetch.tuf_client import matches

    try:
        with path.open("rb") as file:
            return matches(file, entry)
    except FileNotFoundError:
        return False


def _can_be_read(path: Path, entry: FileEntry) -> bool:
    try:
        return _is(path, entry)
    except OSError:
        return False  # the disk fails there: that is no reason not to write elsewhere


def _sync(path: Path) -> None:
    """To the disk, and out of memory, so that reading it again shows what the disk has."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


SKIP_CHARS = 300
"""Of each reason for leaving a version out; twenty of them find room in an answer."""

DISK_FAULTS = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "no space is left for this user",
    errno.EROFS: "the file system can only be read",
    errno.EIO: "the disk fails, or its card",
}
"""What an operator can do something about, in words."""


def look(request: str) -> None:
    """What the source has: SourceRequest -> LookResult."""
    _answer(look_at, SourceRequest.model_validate_json(request))


def resolve(request: str) -> None:
    """One version, with its files: ResolveRequest -> ResolveResult."""
    _answer(resolve_one, ResolveRequest.model_validate_json(request))


def download(request: str) -> None:
    """Its files, each whole: DownloadRequest -> DownloadResult."""
    _answer(download_all, DownloadRequest.model_validate_json(request))


def verify(request: str) -> None:
    """Its files, on the disk: VerifyRequest -> VerifyResult."""
    _answer(verify_all, VerifyRequest.model_validate_json(request))


def look_at(request: SourceRequest) -> LookResult:
    """What `look` does. Raises UpdateError, OSError."""
    offered = _offered(request)
    return LookResult(
        releases=tuple(_offer(release) for release in newest(offered.releases.values(), MAX_OFFERS)),
        skipped=tuple(f"{what} {why}"[:SKIP_CHARS] for what, why in list(offered.skipped.items())[:SKIPPED_MOST]),
    )


def resolve_one(request: ResolveRequest) -> ResolveResult:
    """What `resolve` does. Raises UpdateError, OSError."""
    return ResolveResult(release=choose(_offered(request), request.name, request.version, request.perceptd))


def download_all(request: DownloadRequest) -> DownloadResult:
    """What `download` does: what is there, or in another slot, is not sent again. Raises UpdateError, OSError."""
    from daemon.updates.fetch.download import Transport

    partial = Partial(Path(request.into), request.release)
    partial.prepare()
    known = {key: path for slot in request.have for key, path in contents(Path(slot)).items()}
    transport, progress = Transport(request.source), _Progress(request.progress)
    fetched = 0
    for entry in request.release.files:
        other = known.get((entry.sha256, entry.length)) or namesake(request.have, entry)
        if partial.has(entry) or (other is not None and partial.adopt(entry, other)):
            progress.add(entry.length)
            continue
        _fetch(transport, request.release, entry, partial, progress)
        fetched += entry.length
    return DownloadResult(fetched=fetched, reused=request.release.size - fetched)


def verify_all(request: VerifyRequest) -> VerifyResult:
    """What `verify` does. Raises UpdateError, OSError."""
    Partial(Path(request.into), request.release).seal()
    return VerifyResult()


def disk_fault(error: OSError) -> UpdateError:
    """What a failed write, or a failed read of our own files, means: the same words each time, no temporary names."""
    words = DISK_FAULTS.get(error.errno or 0, error.strerror or str(error))
    return UpdateError("disk", f"{Path(error.filename).parent if error.filename else 'the store of bundles'}: {words}")


class _Progress:
    """How many bytes are there, for the parent to see."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        os.pwrite(self._descriptor, struct.pack("<Q", self._done), 0)

    def passed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.add(len(chunk))


def _answer(work: Callable[[RequestT], BaseModel], request: RequestT) -> None:
    try:
        answer = success(work(request))
    except UpdateError as error:
        answer = failure(error)
    except OSError as error:  # the network's have become UpdateErrors: this is our own disk
        answer = failure(disk_fault(error))
    sys.stdout.write(answer + "\n")


def _offered(request: SourceRequest) -> Catalogue:
    from daemon.updates.fetch.tuf_client import trusted_targets

    return catalogue(trusted_targets(request.source, Path(request.root), Path(request.metadata)))


def _offer(release: Release) -> Offer:
    return Offer(**release.signed.model_dump(), size=release.size)


def _fetch(transport: "Transport", release: Release, entry: FileEntry, partial: Partial, progress: _Progress) -> None:
    folder, _, name = f"{release.signed.name}/{release.signed.version}/{entry.path}".rpartition("/")
    url = f"{transport.base}targets/{folder}/{entry.sha256}.{name}"
    if not partial.take(entry, progress.passed(transport.chunks(url, entry.length))):
        raise UpdateError("trust", f"{url}: is not what was signed: its length or its sha256 is another")

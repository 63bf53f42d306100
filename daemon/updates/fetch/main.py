"""The functions that child processes call to fetch bundles; each takes a JSON request and prints a JSON answer."""

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from daemon.bundle.release import MAX_OFFERS, FileEntry, Offer, Release
from daemon.core.errors import UpdateError
from daemon.updates.fetch.catalogue import Catalogue, build_catalogue, newest_releases, select_release
from daemon.updates.messages import (
    MAX_SKIPPED,
    DownloadRequest,
    DownloadResult,
    ReleaseList,
    ResolveRequest,
    ResolveResult,
    SourceRequest,
    VerifyRequest,
    VerifyResult,
    failure,
    success,
)

# `download` and `tuf_client` import tuf, urllib3 and cryptography. The daemon imports this module to pass its functions
# to child processes, and must not load these libraries: so they are imported where a child process needs them.
if TYPE_CHECKING:
    from daemon.updates.fetch.download import DownloadDir, Transport

RequestT = TypeVar("RequestT", bound=BaseModel)

# of one reason why a version is left out: MAX_SKIPPED of them must fit into an answer
SKIP_CHARS = 300

# errors of the disk for which an operator can do something
DISK_ERRORS = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "no space is left for this user",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk or card is failing",
}


def list_releases(request: str) -> None:
    """List the releases of the source: SourceRequest -> ReleaseList."""
    _answer(_list_releases, SourceRequest.model_validate_json(request))


def resolve(request: str) -> None:
    """Find one version, with its files: ResolveRequest -> ResolveResult."""
    _answer(_resolve, ResolveRequest.model_validate_json(request))


def download(request: str) -> None:
    """Fetch the files of a release: DownloadRequest -> DownloadResult."""
    _answer(_download, DownloadRequest.model_validate_json(request))


def verify(request: str) -> None:
    """Flush the files of a release to disk and check them: VerifyRequest -> VerifyResult."""
    _answer(_verify, VerifyRequest.model_validate_json(request))


def disk_error(error: OSError) -> UpdateError:
    """The error of a failed read or write of our own files.

    It names the directory rather than the file, so that the same cause gives the same message.
    """
    reason = DISK_ERRORS.get(error.errno or 0, error.strerror or str(error))
    directory = Path(error.filename).parent if error.filename else "the directory of bundles"
    return UpdateError("disk", f"{directory}: {reason}")


def _answer(work: Callable[[RequestT], BaseModel], request: RequestT) -> None:
    try:
        answer = success(work(request))
    except UpdateError as error:
        answer = failure(error)
    except MemoryError:  # what the step had is free again here
        answer = failure(UpdateError("memory", "needs more memory than this step may use"))
    except OSError as error:  # of our own disk: errors of the network have become UpdateErrors
        answer = failure(disk_error(error))
    sys.stdout.write(answer + "\n")


def _list_releases(request: SourceRequest) -> ReleaseList:
    catalogue = _catalogue(request)
    skipped = list(catalogue.skipped.items())[:MAX_SKIPPED]
    return ReleaseList(
        releases=tuple(_offer(release) for release in newest_releases(catalogue.releases.values(), MAX_OFFERS)),
        skipped=tuple(f"{name} {reason}"[:SKIP_CHARS] for name, reason in skipped),
    )


def _resolve(request: ResolveRequest) -> ResolveResult:
    return ResolveResult(release=select_release(_catalogue(request), request.name, request.version, request.perceptd))


def _download(request: DownloadRequest) -> DownloadResult:
    """Files that are on the device already are copied rather than fetched."""
    from daemon.updates.fetch.download import DownloadDir, LocalFiles, Transport

    download_dir = DownloadDir(Path(request.into), request.release)
    download_dir.prepare()
    local = LocalFiles(map(Path, request.have))
    transport, progress = Transport(request.source), _Progress(request.progress)
    fetched = 0
    for entry in request.release.files:
        copy = local.find(entry)
        if download_dir.has(entry) or (copy is not None and download_dir.copy(entry, copy)):
            progress.add(entry.length)
            continue
        _fetch(transport, request.release, entry, download_dir, progress)
        fetched += entry.length
    return DownloadResult(fetched=fetched, reused=request.release.size - fetched)


def _verify(request: VerifyRequest) -> VerifyResult:
    from daemon.updates.fetch.download import DownloadDir

    DownloadDir(Path(request.into), request.release).seal()
    return VerifyResult()


def _catalogue(request: SourceRequest) -> Catalogue:
    from daemon.updates.fetch.tuf_client import trusted_targets

    return build_catalogue(trusted_targets(request.source, Path(request.root), Path(request.metadata)))


def _offer(release: Release) -> Offer:
    return Offer(**release.signed.model_dump(), size=release.size)


def _fetch(
    transport: "Transport", release: Release, entry: FileEntry, download_dir: "DownloadDir", progress: "_Progress"
) -> None:
    folder, _, name = f"{release.signed.name}/{release.signed.version}/{entry.path}".rpartition("/")
    url = f"{transport.base}targets/{folder}/{entry.sha256}.{name}"
    if not download_dir.write(entry, progress.counted(transport.chunks(url, entry.length))):
        raise UpdateError("trust", f"{url}: differs from what was signed in length or sha256")


class _Progress:
    """Writes the number of bytes on disk into the memory that the parent shares."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        os.pwrite(self._descriptor, struct.pack("<Q", self._done), 0)

    def counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            self.add(len(chunk))

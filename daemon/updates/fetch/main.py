"""What the processes do that fetch bundles: each function is one stage, with a JSON request and a JSON answer.

They are run by runtime/child.py: never in the process that holds the camera.
"""

import errno
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import BaseModel

from daemon.bundles.catalogue import Catalogue, catalogue, choose, newest
from daemon.bundles.partial import Partial, contents, namesake
from daemon.bundles.requests import (
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
from daemon.bundles.transport import Transport
from daemon.bundles.trust import trusted_targets
from daemon.errors import UpdateError
from daemon.release import OFFERS_MOST, FileEntry, Offer, Release

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
    _answer(lambda: look_at(SourceRequest.model_validate_json(request)))


def resolve(request: str) -> None:
    """One version, with its files: ResolveRequest -> ResolveResult."""
    _answer(lambda: resolve_one(ResolveRequest.model_validate_json(request)))


def download(request: str) -> None:
    """Its files, each whole: DownloadRequest -> DownloadResult."""
    _answer(lambda: download_all(DownloadRequest.model_validate_json(request)))


def verify(request: str) -> None:
    """Its files, on the disk: VerifyRequest -> VerifyResult."""
    _answer(lambda: verify_all(VerifyRequest.model_validate_json(request)))


def look_at(request: SourceRequest) -> LookResult:
    """What `look` does. Raises UpdateError, OSError."""
    offered = _offered(request)
    return LookResult(
        releases=tuple(_offer(release) for release in newest(offered.releases.values(), OFFERS_MOST)),
        skipped=tuple(f"{what} {why}"[:SKIP_CHARS] for what, why in list(offered.skipped.items())[:SKIPPED_MOST]),
    )


def resolve_one(request: ResolveRequest) -> ResolveResult:
    """What `resolve` does. Raises UpdateError, OSError."""
    return ResolveResult(release=choose(_offered(request), request.name, request.version, request.perceptd))


def download_all(request: DownloadRequest) -> DownloadResult:
    """What `download` does: what is there, or in another slot, is not sent again. Raises UpdateError, OSError."""
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


def _answer(work: Callable[[], BaseModel]) -> None:
    try:
        answer = success(work())
    except UpdateError as error:
        answer = failure(error)
    except OSError as error:  # the network's have become UpdateErrors: this is our own disk
        answer = failure(disk_fault(error))
    sys.stdout.write(answer + "\n")


def _offered(request: SourceRequest) -> Catalogue:
    return catalogue(trusted_targets(request.source, Path(request.root), Path(request.metadata)))


def _offer(release: Release) -> Offer:
    return Offer(**release.signed.model_dump(), size=release.size)


def _fetch(transport: Transport, release: Release, entry: FileEntry, partial: Partial, progress: _Progress) -> None:
    folder, _, name = f"{release.signed.name}/{release.signed.version}/{entry.path}".rpartition("/")
    url = f"{transport.base}targets/{folder}/{entry.sha256}.{name}"
    if not partial.take(entry, progress.passed(transport.chunks(url, entry.length))):
        raise UpdateError("trust", f"{url}: is not what was signed: its length or its sha256 is another")

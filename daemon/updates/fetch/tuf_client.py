"""Fetches the signed metadata of a source with TUF's client, and returns its targets.

TUF's cache in the directory `metadata` is the base of rollback protection. It is not flushed to disk, because TUF's
client copes with what a power cut leaves. A damaged file cannot be parsed or verified, and is fetched again. The intact
files still protect: timestamp.json against older timestamps and snapshots, snapshot.json against older targets. The
roots in root_history are verified at each start from the provisioned root on, and fetched again where one is missing.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.api.serialization import DeserializationError
from tuf.ngclient import Updater

from daemon.config.updates import EXPECTED_ROOT, MAX_ROOT_BYTES
from daemon.core.errors import UpdateError
from daemon.core.files import read_bounded
from daemon.updates.fetch.catalogue import Target
from daemon.updates.fetch.download import METADATA_S, Transport
from daemon.updates.metadata_cache import ROLES, cached_metadata, clean_cache


def trusted_targets(source: str, root: Path, metadata: Path) -> list[Target]:
    """The targets that the publisher has signed; `root` is the provisioned root.json.

    Raises UpdateError (source, trust), and OSError for the directory `metadata`.
    """
    metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
    clean_cache(metadata)  # TUF's client reads each file as a whole, whatever it is
    transport = _RecordingTransport(source)
    provisioned = _read_root(root)
    try:
        updater = Updater(str(metadata), transport.base + "metadata/", fetcher=transport, bootstrap=provisioned)
    except RepositoryError as error:
        raise UpdateError("trust", f"{root}: is no root.json signed by its own keys ({_one_line(error)})") from error
    try:
        updater.refresh()
    except DownloadError as error:
        raise UpdateError("source", str(error)) from error
    except RepositoryError as error:
        raise _update_error(error, transport, metadata) from error
    signed = Metadata[Targets].from_bytes(cached_metadata(metadata, "targets")).signed  # just verified, and written
    return [_target(path, target) for path, target in signed.targets.items()]


class _RecordingTransport(Transport):
    """Records the latest URL and the metadata by role, for the message when TUF refuses one of them."""

    def __init__(self, source: str) -> None:
        super().__init__(source, METADATA_S)
        self.latest = self.base
        self.received: dict[str, bytes] = {}

    def download_bytes(self, url: str, max_length: int) -> bytes:
        self.latest = url
        data = super().download_bytes(url, max_length)
        self.received[url.split(".")[-2].rpartition("/")[2]] = data
        return data


def _read_root(root: Path) -> bytes:
    try:
        return read_bounded(root, MAX_ROOT_BYTES)
    except OSError as error:
        raise UpdateError("trust", f"{root}: cannot be read: {error.strerror}; {EXPECTED_ROOT}") from error


def _target(path: str, target: TargetFile) -> Target:
    return Target(path, target.length, target.hashes.get("sha256"), target.custom)


def _update_error(error: RepositoryError, transport: _RecordingTransport, metadata: Path) -> UpdateError:
    if isinstance(error, DeserializationError):
        return UpdateError("source", f"{transport.latest}: is not TUF metadata: is this a repository of bundles?")
    if isinstance(error, ExpiredMetadataError):
        reason = _expiry_text(transport, metadata) or _one_line(error)
        return UpdateError("trust", f"{transport.base}: {reason}")
    return UpdateError("trust", f"{transport.latest}: {_refusal_text(error)} ({_one_line(error)})")


def _refusal_text(error: RepositoryError) -> str:
    if isinstance(error, UnsignedMetadataError):
        return "is not signed by enough of the keys that are trusted"
    if isinstance(error, BadVersionNumberError):
        return "has another version than it must have: it is older than one seen before, or not the announced one"
    if isinstance(error, LengthOrHashMismatchError):
        return "is not the file that the signed metadata announces"
    return "cannot be trusted"


def _expiry_text(transport: _RecordingTransport, metadata: Path) -> str | None:
    now = datetime.now(timezone.utc)
    for role, data in _newest_metadata(transport, metadata):
        with suppress(RepositoryError):  # damaged metadata has another error
            expires = Metadata[Any].from_bytes(data).signed.expires
            if expires <= now:
                since = f"{expires:%Y-%m-%d %H:%M} UTC"
                return (
                    f"its {role} metadata expired {since}, and the clock says {now:%Y-%m-%d %H:%M}: "
                    "the publisher must refresh it, or somebody withholds newer metadata"
                )
    return None


def _newest_metadata(transport: _RecordingTransport, metadata: Path) -> Iterator[tuple[str, bytes]]:
    """The newest metadata of each role. The root is that of the cache, since older roots may have expired."""
    for role in ROLES:
        with suppress(OSError):
            received = None if role == "root" else transport.received.get(role)
            yield role, received if received is not None else cached_metadata(metadata, role)


def _one_line(error: RepositoryError) -> str:
    return " ".join(str(error).split())

"""Whom to believe: signed metadata checked by TUF's client, and files checked against it.

TUF's cache below `metadata` is what rollback protection rests on. It is not fsynced, since its client survives what a
power cut leaves: a file that is cut or empty does not parse, or is not signed, and is fetched anew; those that are
whole go on protecting (timestamp.json against older timestamps and snapshots, snapshot.json against older targets); a
root in root_history is verified each time, from the provisioned one on, and fetched where it is not. Whatever else lies
there was left by a process that was killed.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

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

from daemon.bundle.release import FileEntry
from daemon.config.updates import EXPECTED_ROOT, MAX_ROOT_BYTES
from daemon.core.errors import UpdateError
from daemon.core.files import read_bounded
from daemon.updates.fetch.catalogue import Target
from daemon.updates.fetch.download import METADATA_S, Transport

ROLES = ("root", "timestamp", "snapshot", "targets")
"""In the order in which TUF checks them; their metadata expires one by one."""

CACHED = {"root_history", *(f"{role}.json" for role in ROLES)}
"""What TUF's client keeps in its directory."""


def trusted_targets(source: str, root: Path, metadata: Path) -> list[Target]:
    """What the source has, as its publisher has signed it. `root` is the provisioned root.json.

    Raises UpdateError (source, trust), OSError for the directory `metadata`.
    """
    metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(metadata)
    transport = _Remembering(source)
    provisioned = _provisioned(root)
    try:
        updater = Updater(str(metadata), transport.base + "metadata/", fetcher=transport, bootstrap=provisioned)
    except RepositoryError as error:
        raise UpdateError("trust", f"{root}: is no root.json that signs itself ({_line(error)})") from error
    try:
        updater.refresh()
    except DownloadError as error:
        raise UpdateError("source", str(error)) from error
    except RepositoryError as error:
        raise _refusal(error, transport, metadata) from error
    signed = Metadata[Targets].from_file(str(metadata / "targets.json")).signed  # just verified, and written
    return [_target(path, target) for path, target in signed.targets.items()]


def matches(file: IO[bytes], entry: FileEntry) -> bool:
    """Whether the content is the one that was signed. Raises OSError."""
    target = TargetFile(entry.length, {"sha256": entry.sha256}, entry.path)
    try:
        target.verify_length_and_hashes(file)
    except LengthOrHashMismatchError:
        return False
    return True


class _Remembering(Transport):
    """Keeps what came, so that a refusal can say which file was refused, and when it expired."""

    def __init__(self, source: str) -> None:
        super().__init__(source, METADATA_S)
        self.latest = self.base
        self.seen: dict[str, bytes] = {}

    def download_bytes(self, url: str, max_length: int) -> bytes:
        self.latest = url
        data = super().download_bytes(url, max_length)
        self.seen[url.split(".")[-2].rpartition("/")[2]] = data
        return data


def _provisioned(root: Path) -> bytes:
    try:
        return read_bounded(root, MAX_ROOT_BYTES)
    except OSError as error:
        raise UpdateError("trust", f"{root}: cannot be read: {error.strerror}; {EXPECTED_ROOT}") from error


def _sweep(metadata: Path) -> None:
    for path in metadata.iterdir():
        if path.name not in CACHED:
            path.unlink()


def _target(path: str, target: TargetFile) -> Target:
    return Target(path, target.length, target.hashes.get("sha256"), target.custom)


def _refusal(error: RepositoryError, transport: _Remembering, metadata: Path) -> UpdateError:
    if isinstance(error, DeserializationError):
        return UpdateError("source", f"{transport.latest}: is not TUF metadata: is this a repository of bundles?")
    if isinstance(error, ExpiredMetadataError):
        return UpdateError("trust", f"{transport.base}: {_expired(transport, metadata) or _line(error)}")
    return UpdateError("trust", f"{transport.latest}: {_meaning(error)} ({_line(error)})")


def _meaning(error: RepositoryError) -> str:
    if isinstance(error, UnsignedMetadataError):
        return "is not signed by enough of the keys that are trusted"
    if isinstance(error, BadVersionNumberError):
        return "has another version than it must have: older than what was seen before, or not what was announced"
    if isinstance(error, LengthOrHashMismatchError):
        return "is not the file that the signed metadata announces"
    return "is not to be trusted"


def _expired(transport: _Remembering, metadata: Path) -> str | None:
    now = datetime.now(timezone.utc)
    for role, data in _known(transport, metadata):
        with suppress(RepositoryError):  # what is damaged has not expired
            expires = Metadata[Any].from_bytes(data).signed.expires
            if expires <= now:
                since = f"{expires:%Y-%m-%d %H:%M} UTC"
                return (
                    f"its {role} metadata expired {since}, and it is {now:%Y-%m-%d %H:%M} here: "
                    "the publisher must refresh it, or somebody holds it back"
                )
    return None


def _known(transport: _Remembering, metadata: Path) -> Iterator[tuple[str, bytes]]:
    """The newest metadata of each role. Older roots may have expired: the cache's root.json is the latest."""
    for role in ROLES:
        with suppress(OSError):
            fetched = None if role == "root" else transport.seen.get(role)
            yield role, fetched if fetched is not None else (metadata / f"{role}.json").read_bytes()


def _line(error: RepositoryError) -> str:
    return " ".join(str(error).split())

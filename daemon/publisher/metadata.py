"""The signed documents of a repository: reads the current edition, and signs the next one in memory."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from daemon.bundle.signature_lifetimes import EXPIRY_DAYS_FIELD, expiry, sane_days
from daemon.core.errors import Refused
from daemon.publisher.keys import KeyRing

# each document names the current version of the one before, so it changes with that one
ORDER = ("targets", "snapshot", "timestamp")

# the limits of TUF clients, by default
MAX_BYTES: Mapping[str, int] = {"targets": 5_000_000, "snapshot": 2_000_000, "timestamp": 16_384, "root": 512_000}


@dataclass(frozen=True)
class Edition:
    """One state of the repository; its documents are never changed."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]

    def document(self, role: str) -> Metadata[Any]:
        """Return the document of one role."""
        document: Metadata[Any] = getattr(self, role)
        return document


def lifetime_days(root: Root, role: str) -> int:
    """Return the lifetime of the role's signatures in days."""
    return sane_days(role, root.roles[role].unrecognized_fields.get(EXPIRY_DAYS_FIELD))


def empty_edition(root: Metadata[Root]) -> Edition:
    """Return the edition before the first one: unsigned documents of version 0."""
    documents = (Metadata(Targets()), Metadata(Snapshot()), Metadata(Timestamp()))
    for document in documents:
        document.signed.version = 0
    return Edition(root, *documents)


def next_documents(before: Edition, root: Metadata[Root], first: str, keys: KeyRing, now: datetime) -> dict[str, bytes]:
    """Return the changed files of the next edition: the document of `first` and those that depend on it.

    The available keys of the previous root sign too, for devices that do not have the new root yet.
    Raises Refused when a key is missing.
    """
    files: dict[str, bytes] = {}
    described: dict[str, MetaFile] = {}
    for role in ORDER[ORDER.index(first) :]:
        document = deepcopy(before.document(role))
        document.signed.version += 1
        document.signed.expires = expiry(lifetime_days(root.signed, role), now)
        if role == "snapshot" and "targets" in described:
            document.signed.meta["targets.json"] = described["targets"]
        if role == "timestamp" and "snapshot" in described:
            document.signed.snapshot_meta = described["snapshot"]
        content = _signed(document, role, root.signed, before.root.signed, keys)
        described[role] = MetaFile.from_data(document.signed.version, content, ["sha256"])
        files[file_name(role, document.signed.version)] = content
    return files


def next_root(before: Root, root: Root, keys: KeyRing, now: datetime) -> tuple[Metadata[Root], dict[str, bytes]]:
    """Return the next root, signed by the keys of both. Raises Refused when too few keys are available."""
    root.version = before.version + 1
    root.expires = expiry(lifetime_days(root, "root"), now)
    document = Metadata(root)
    content = _signed(document, "root", root, before, keys)
    _check_threshold(document, "root", before, keys)
    return document, {file_name("root", root.version): content}


def first_root(root: Root, keys: KeyRing, now: datetime) -> tuple[Metadata[Root], dict[str, bytes]]:
    """Return the first root, which devices are given. Raises Refused when too few of its keys are available."""
    root.expires = expiry(lifetime_days(root, "root"), now)
    document = Metadata(root)
    return document, {file_name("root", root.version): _signed(document, "root", root, root, keys)}


def file_name(role: str, version: int) -> str:
    """Return a document's name below metadata/; clients request the timestamp without its version."""
    return "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"


def read_edition(root: Path, metadata: Path) -> Edition:
    """Return the current edition, after checking the signature of each document. Raises Refused.

    Published documents are verified as on a device, since the next edition is made from them and signed.
    """
    trusted = _read(root, Root)
    _check(trusted, "root", trusted, root)
    timestamp = _checked(metadata / "timestamp.json", "timestamp", Timestamp, trusted)
    name = file_name("snapshot", timestamp.signed.snapshot_meta.version)
    snapshot = _checked(metadata / name, "snapshot", Snapshot, trusted, timestamp.signed.snapshot_meta)
    listed = snapshot.signed.meta.get("targets.json")
    if listed is None:
        raise Refused(f"{metadata / name}: names no targets.json; restore it from the web server or a backup")
    name = file_name("targets", listed.version)
    return Edition(trusted, _checked(metadata / name, "targets", Targets, trusted, listed), snapshot, timestamp)


def _signed(document: Metadata[Any], role: str, root: Root, before: Root, keys: KeyRing) -> bytes:
    key_ids = list(dict.fromkeys([*root.roles[role].keyids, *before.roles[role].keyids]))
    document.signatures.clear()
    for signer in keys.signers(role, key_ids):
        document.sign(signer, append=True)
    _check_threshold(document, role, root, keys)
    content = document.to_bytes()
    if len(content) > MAX_BYTES[role]:
        raise Refused(
            f"{role} would have {len(content)} bytes; devices read at most {MAX_BYTES[role]}: create a new repository"
        )
    return content


def _check_threshold(document: Metadata[Any], role: str, root: Root, keys: KeyRing) -> None:
    if not root.get_verification_result(role, document.signed_bytes, document.signatures):
        signers = root.roles[role]
        raise Refused(keys.missing_text(role, signers.keyids, signers.threshold))


def _read(path: Path, kind: type[Any]) -> Metadata[Any]:
    try:
        document: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise Refused(f"{path}: no such file; restore it from the web server or a backup") from error
    except DeserializationError as error:
        raise Refused(f"{path}: is damaged; restore it from the web server or a backup") from error
    if not isinstance(document.signed, kind):
        raise Refused(f"{path}: is a {document.signed.type} document; restore it from a backup")
    return document


def _checked(
    path: Path, role: str, kind: type[Any], root: Metadata[Root], listed: MetaFile | None = None
) -> Metadata[Any]:
    document = _read(path, kind)
    _check(document, role, root, path)
    try:
        if listed is not None:
            listed.verify_length_and_hashes(path.read_bytes())
    except RepositoryError as error:
        raise Refused(f"{path}: is not the document that was signed last; restore it from a backup") from error
    return document


def _check(document: Metadata[Any], role: str, root: Metadata[Root], path: Path) -> None:
    if not root.signed.get_verification_result(role, document.signed_bytes, document.signatures):
        raise Refused(f"{path}: has no valid signature for {role}; restore it from a backup")

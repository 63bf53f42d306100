"""The repository's signed documents: the edition that is current, and the next one, made and signed in memory."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from daemon.bundle.signature_lifetimes import DEFAULT_DAYS, EXPIRY_DAYS_FIELD, expiry
from daemon.core.errors import Refused
from daemon.publisher.keys import KeyRing

ORDER = ("targets", "snapshot", "timestamp")
"""Each of them says which version of the one before is current, so it changes with that one."""

MAX_BYTES: Mapping[str, int] = {"targets": 5_000_000, "snapshot": 2_000_000, "timestamp": 16_384, "root": 512_000}
"""What a TUF client reads of each role at most, unless told otherwise."""


@dataclass(frozen=True)
class Edition:
    """One state of the repository. The documents in it are not changed."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]

    def document(self, role: str) -> Metadata[Any]:
        """That of one role."""
        found: Metadata[Any] = getattr(self, role)
        return found


def lifetime_days(root: Root, role: str) -> int:
    """For how many days the role's signatures count."""
    return int(root.roles[role].unrecognized_fields.get(EXPIRY_DAYS_FIELD, DEFAULT_DAYS[role]))


def empty_edition(root: Metadata[Root]) -> Edition:
    """What the first edition comes after: documents of version 0, which nobody signs."""
    documents = (Metadata(Targets()), Metadata(Snapshot()), Metadata(Timestamp()))
    for document in documents:
        document.signed.version = 0
    return Edition(root, *documents)


def next_documents(before: Edition, root: Metadata[Root], first: str, keys: KeyRing, now: datetime) -> dict[str, bytes]:
    """The files of the next edition: the document of `first` and all that depend on it, signed anew.

    What the keys of the root before can sign they sign too, so that devices that do not know the new one yet go on.
    Raises Refused when a key is missing.
    """
    files: dict[str, bytes] = {}
    made: dict[str, MetaFile] = {}
    for role in ORDER[ORDER.index(first) :]:
        document = deepcopy(before.document(role))
        document.signed.version += 1
        document.signed.expires = expiry(lifetime_days(root.signed, role), now)
        if role == "snapshot" and "targets" in made:
            document.signed.meta["targets.json"] = made["targets"]
        if role == "timestamp" and "snapshot" in made:
            document.signed.snapshot_meta = made["snapshot"]
        content = _signed(document, role, root.signed, before.root.signed, keys)
        made[role] = MetaFile.from_data(document.signed.version, content, ["sha256"])
        files[file_name(role, document.signed.version)] = content
    return files


def next_root(before: Root, root: Root, keys: KeyRing, now: datetime) -> tuple[Metadata[Root], dict[str, bytes]]:
    """The next root, signed by the keys of both. Raises Refused when too few are within reach."""
    root.version = before.version + 1
    root.expires = expiry(lifetime_days(root, "root"), now)
    document = Metadata(root)
    content = _signed(document, "root", root, before, keys)
    _check_threshold(document, "root", before, keys)
    return document, {file_name("root", root.version): content}


def first_root(root: Root, keys: KeyRing, now: datetime) -> tuple[Metadata[Root], dict[str, bytes]]:
    """The root that devices are given. Raises Refused when too few of its keys are within reach."""
    root.expires = expiry(lifetime_days(root, "root"), now)
    document = Metadata(root)
    return document, {file_name("root", root.version): _signed(document, "root", root, root, keys)}


def file_name(role: str, version: int) -> str:
    """Below metadata/; only the timestamp is looked for without knowing its version."""
    return "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"


def read_edition(root: Path, metadata: Path) -> Edition:
    """The current edition, each document as it was signed by whom `root` names. Raises Refused.

    Metadata are looked at as if they came from anywhere: what is found here is signed again.
    """
    trusted = _read(root, Root)
    _check(trusted, "root", trusted, root)
    timestamp = _checked(metadata / "timestamp.json", "timestamp", Timestamp, trusted)
    name = file_name("snapshot", timestamp.signed.snapshot_meta.version)
    snapshot = _checked(metadata / name, "snapshot", Snapshot, trusted, timestamp.signed.snapshot_meta)
    listed = snapshot.signed.meta.get("targets.json")
    if listed is None:
        raise Refused(f"{metadata / name}: names no targets.json; restore it from what is served or from a backup")
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
        raise Refused(f"{role} would have {len(content)} bytes; devices read {MAX_BYTES[role]}: begin a new repository")
    return content


def _check_threshold(document: Metadata[Any], role: str, root: Root, keys: KeyRing) -> None:
    if not root.get_verification_result(role, document.signed_bytes, document.signatures):
        signers = root.roles[role]
        raise Refused(keys.lack(role, signers.keyids, signers.threshold))


def _read(path: Path, kind: type[Any]) -> Metadata[Any]:
    try:
        document: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except FileNotFoundError as error:
        raise Refused(f"{path}: no such file; restore it from what is served or from a backup") from error
    except DeserializationError as error:
        raise Refused(f"{path}: is damaged; restore it from what is served or from a backup") from error
    if not isinstance(document.signed, kind):
        raise Refused(f"{path}: is a document of {document.signed.type}; restore it from a backup")
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
        raise Refused(f"{path}: is not the one that was signed last; restore it from a backup") from error
    return document


def _check(document: Metadata[Any], role: str, root: Metadata[Root], path: Path) -> None:
    if not root.signed.get_verification_result(role, document.signed_bytes, document.signatures):
        raise Refused(f"{path}: is not signed by whom root names for {role}; restore it from a backup")

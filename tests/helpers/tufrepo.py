"""A TUF repository in which every part can be falsified, with or without the right keys."""

import hashlib
import shutil
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

ROLES = ("root", "targets", "snapshot", "timestamp")
KINDS = {"root": Root, "targets": Targets, "snapshot": Snapshot, "timestamp": Timestamp}


def in_days(days: float) -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=days)


def signed_part(name: str, version: str, **changes: object) -> dict:
    """Return the signed data of a bundle as a publisher writes it."""
    return {"name": name, "version": version, "needs_perceptd": "0.1.0", "memory_mb": 64, **changes}


class TufRepo:
    """A repository of static files in `directory`; `root` is the root.json that devices are provisioned with."""

    def __init__(self, directory: Path, *, root_keys: int = 1, threshold: int = 1) -> None:
        self.directory = directory
        self.metadata, self.targets = directory / "metadata", directory / "targets"
        self.metadata.mkdir(parents=True)
        self.targets.mkdir()
        self.keys = {role: [CryptoSigner.generate_ed25519()] for role in ROLES}
        self.keys["root"] = [CryptoSigner.generate_ed25519() for _ in range(root_keys)]
        self.parts = {role: KINDS[role](expires=in_days(30)) for role in ROLES}
        root = self.parts["root"]
        root.consistent_snapshot = True
        for role in ROLES:
            for key in self.keys[role]:
                root.add_key(key.public_key, role)
        root.roles["root"].threshold = threshold
        self.write("root")
        self.root = directory.parent / "root.json"
        shutil.copy(self.metadata / "1.root.json", self.root)

    def add(self, name: str, version: str, files: dict[str, bytes], custom: object = None) -> None:
        """Add a bundle's files as targets; `custom` is the custom field of its manifest's target."""
        for path, content in files.items():
            self.target(f"{name}/{version}/{path}", content)
        manifest = self.parts["targets"].targets[f"{name}/{version}/bundle.yaml"]
        manifest.unrecognized_fields["custom"] = custom or {"perceptd": signed_part(name, version)}

    def target(self, name: str, content: bytes, **custom: object) -> TargetFile:
        """Add one target, and write its file if the name allows that; return the target."""
        sha256 = hashlib.sha256(content).hexdigest()
        target = TargetFile(len(content), {"sha256": sha256}, name, {"custom": custom} if custom else {})
        self.parts["targets"].targets[name] = target
        if ".." not in name and not name.startswith("/") and "\\" not in name and "//" not in name:
            file = self.targets / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_name(f"{sha256}.{file.name}").write_bytes(content)
        return target

    def publish(self) -> None:
        """Write new versions of targets, snapshot and timestamp, each signed by its keys."""
        for role in ("targets", "snapshot", "timestamp"):
            self.renew(role)

    def renew(self, role: str, *, by: int = 1, to: int | None = None) -> None:
        """Write the next version of one role, with the current versions of the roles that it lists."""
        part = self.parts[role]
        part.version = part.version + by if to is None else to
        if role == "snapshot":
            part.meta["targets.json"] = self._meta("targets")
        if role == "timestamp":
            part.snapshot_meta = self._meta("snapshot")
        self.write(role)

    def rotate(self, role: str, *, signers: Iterable[CryptoSigner] | None = None) -> None:
        """Give a role another key, in a new root that is signed by the old and the new root keys."""
        old = self.keys[role]
        self.keys[role] = [CryptoSigner.generate_ed25519() for _ in old]
        root = self.parts["root"]
        for key in old:
            root.revoke_key(key.public_key.keyid, role)
        for key in self.keys[role]:
            root.add_key(key.public_key, role)
        root.version += 1
        self.write("root", [*(old if role == "root" else []), *self.keys["root"]] if signers is None else signers)

    def write(self, role: str, signers: Iterable[CryptoSigner] | None = None) -> Path:
        """Sign a role's metadata as it is, and write it to its file."""
        path = self.metadata / self.file_name(role)
        path.write_bytes(self.bytes_of(role, signers))
        return path

    def bytes_of(self, role: str, signers: Iterable[CryptoSigner] | None = None) -> bytes:
        document = Metadata(self.parts[role])
        for signer in self.keys[role] if signers is None else signers:
            document.sign(signer, append=True)
        return document.to_bytes()

    def file_name(self, role: str) -> str:
        return "timestamp.json" if role == "timestamp" else f"{self.parts[role].version}.{role}.json"

    def kept(self) -> dict[str, bytes]:
        """Return all metadata files as they are now, to be served again later."""
        return {path.name: path.read_bytes() for path in self.metadata.iterdir()}

    def _meta(self, role: str) -> MetaFile:
        data = (self.metadata / self.file_name(role)).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        return MetaFile(self.parts[role].version, len(data), {"sha256": sha256})

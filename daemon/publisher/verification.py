"""Verifies a package, an image or a bundle back to the commit: signature, digest, commit and SBOM, in this order."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import SSlibKey

from daemon.bundle.files import ML_BOM
from daemon.bundle.ml_bom_file import MAX_ML_BOM_BYTES
from daemon.core.errors import Refused
from daemon.core.files import read_bounded
from daemon.publisher.artefacts import bundle_at, file_sha256, sbom_of_deb, sbom_of_image, stream_sha256
from daemon.publisher.provenance import IN_RELEASE, MAX_ENVELOPE_BYTES, SUFFIX, Provenance, verified

# the property of an SBOM that says of which commit the product is made
COMMIT = "perceptd:commit"

# of files in a message
MAX_NAMED = 3


@dataclass(frozen=True)
class Component:
    """A part that an SBOM names."""

    name: str
    version: str | None
    licence: str | None


@dataclass(frozen=True)
class Verified:
    """What was verified. `key_id` is of the key that has signed; `commit` is None where the signer has said none."""

    provenance: Provenance
    provenance_file: str
    key_id: str
    components: list[Component]


def verify_file(path: Path, keys: Sequence[SSlibKey], provenance_file: Path | None, commit: str | None) -> Verified:
    """Verify what lies at `path`. Raises Refused, with what differs, and OSError.

    `commit` is the one that it must be made of, or the first digits of it; None: any.
    """
    if not path.exists():
        raise Refused(f"{path}: no such file or directory")
    where = provenance_file or _provenance_beside(path)
    try:
        content = read_bounded(where, MAX_ENVELOPE_BYTES + 1)
    except FileNotFoundError as error:
        raise Refused(f"{where}: there is no such provenance of {path}; name it with --provenance") from error
    provenance, key_id = verified(content, keys, str(where))
    sbom = _bundle_sbom(path, provenance) if provenance.kind == "bundle" else _file_sbom(path, provenance)
    _check_commit(path, provenance, commit)
    components = _components(path, sbom, provenance)
    return Verified(provenance, str(where), key_id, components)


def _provenance_beside(path: Path) -> Path:
    inside = path / IN_RELEASE
    return inside if inside.is_file() else path.resolve().with_name(path.resolve().name + SUFFIX)


def _file_sbom(path: Path, provenance: Provenance) -> bytes:
    """Compare the digest of a package or image; return the SBOM within. Raises Refused."""
    if path.is_dir():
        raise Refused(f"{path}: is a directory, but the provenance is about a {provenance.kind}")
    found = file_sha256(path)
    if found not in provenance.subjects.values():
        names = ", ".join(f"{name} with {sha256}" for name, sha256 in provenance.subjects.items())
        raise Refused(f"{path}: the digest differs: it has sha256 {found}; signed is {names}")
    content = (sbom_of_deb if provenance.kind == "deb" else sbom_of_image)(path)
    if content is None:
        raise Refused(f"{path}: has no SBOM inside")
    return content


def _bundle_sbom(path: Path, provenance: Provenance) -> bytes:
    """Compare the digest of each file of a bundle; return its ML-BOM. Raises Refused."""
    differing, sbom = [], None
    with bundle_at(path) as files:
        for name, sha256 in provenance.subjects.items():
            file = files.open(name, sha256)
            if file is None:
                differing.append(f"{name} is missing")
                continue
            with file:
                if name == ML_BOM:
                    sbom = file.read(MAX_ML_BOM_BYTES)
                    found = hashlib.sha256(sbom).hexdigest()
                else:
                    found = stream_sha256(file)
            if found != sha256:
                differing.append(f"{name} has sha256 {found}, signed is {sha256}")
        differing += files.others(provenance.subjects)
    if differing:
        more = f"; and {len(differing) - MAX_NAMED} more" if len(differing) > MAX_NAMED else ""
        raise Refused(f"{path}: the digest differs: {'; '.join(differing[:MAX_NAMED])}{more}")
    if sbom is None:
        raise Refused(f"{path}: the provenance names no {ML_BOM}")
    return sbom


def _check_commit(path: Path, provenance: Provenance, commit: str | None) -> None:
    if commit is None:
        return
    if provenance.commit is None:
        raise Refused(f"{path}: the commit differs: the provenance names none, expected {commit}")
    if not provenance.commit.startswith(commit.lower()):
        raise Refused(f"{path}: the commit differs: it is made of {provenance.commit}, expected {commit}")


def _components(path: Path, sbom: bytes, provenance: Provenance) -> list[Component]:
    """Compare the SBOM with the signed digest, and its commit; return what it names. Raises Refused."""
    if (found := hashlib.sha256(sbom).hexdigest()) != provenance.bom_sha256:
        raise Refused(f"{path}: the SBOM differs: it has sha256 {found}, signed is {provenance.bom_sha256}")
    try:
        document = json.loads(sbom)
        properties = document["metadata"]["component"].get("properties", [])
        commits = [one["value"] for one in properties if one["name"] == COMMIT]
        components = [Component(one["name"], one.get("version"), _licence(one)) for one in document["components"]]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise Refused(f"{path}: the SBOM is as it was signed, but is no CycloneDX document in JSON") from error
    if commits and commits != [provenance.commit]:
        raise Refused(f"{path}: the commit differs: the SBOM says {commits[0]}, the provenance {provenance.commit}")
    return components


def _licence(component: dict[str, Any]) -> str | None:
    texts = []
    for one in component.get("licenses", []):
        licence = one.get("license", {})
        texts.append(one.get("expression") or licence.get("id") or licence.get("name") or "?")
    return ", ".join(texts) or None

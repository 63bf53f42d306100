"""Signs where a package or image comes from: the envelope that `perceptd verify` reads, beside the file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from daemon.publisher.artefacts import file_sha256
from daemon.publisher.keys import read_signer
from daemon.publisher.provenance import SUFFIX, Provenance, signed


def write_provenance(
    file: Path, kind: Literal["deb", "image"], sbom: bytes, commit: str, parameters: Mapping[str, str], key: Path
) -> Path:
    """Write the provenance of a file beside it, and return its path.

    `sbom` is the SBOM within, `commit` the full hash, `parameters` what the build was asked for.
    `key` is the release key: a private key for Ed25519 in PEM. Raises Refused for another key, and OSError.
    """
    subjects = {file.name: file_sha256(file)}
    provenance = Provenance(kind, subjects, commit, hashlib.sha256(sbom).hexdigest(), parameters)
    target = file.with_name(file.name + SUFFIX)
    target.write_bytes(signed(provenance, read_signer(key)))
    return target

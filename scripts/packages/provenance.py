"""Signs where a package or image comes from: the envelope that `perceptd verify` reads, beside the file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from daemon import __version__
from daemon.publisher.artefacts import file_sha256, sbom_of_image
from daemon.publisher.keys import read_signer
from daemon.publisher.provenance import SUFFIX, Provenance, signed
from packages.source import commit
from packages.targets import Target


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


def sign_image(archive: Path, target: Target, key: Path) -> Path:
    """Write the provenance of the image of a target beside its archive, with the SBOM within; return its path.

    Raises Refused, and OSError.
    """
    parameters = {"target": target.name, "version": __version__}
    return write_provenance(archive, "image", sbom_of_image(archive) or b"", commit(), parameters, key)

"""Small packages, images and release keys, made for tests of their provenance."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SBOM_PATH = "opt/perceptd/evidence/bom.cdx.json"


def sbom(commit: str = COMMIT) -> bytes:
    """Return an SBOM with one component."""
    product = {"name": "perceptd", "properties": [{"name": "perceptd:commit", "value": commit}]}
    part = {"name": "av", "version": "18.1.0", "licenses": [{"expression": "BSD-3-Clause"}]}
    return json.dumps({"metadata": {"component": product}, "components": [part]}).encode()


def tar(files: dict[str, bytes], mode: str = "w", more: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """Return an archive with these files; `more` may repeat a name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in [*files.items(), *more]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def deb(inside: dict[str, bytes]) -> bytes:
    """Return a Debian package with these files."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar({"./control": b"Package: perceptd\n"}, "w:xz"),
        "data.tar.xz": tar({f"./{name}": content for name, content in inside.items()}, "w:xz"),
    }
    packed = b"!<arch>\n"
    for name, content in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        packed += header.encode() + content + b"\n" * (len(content) % 2)
    return packed


def image(inside: dict[str, bytes]) -> bytes:
    """Return the OCI archive of an image with two layers."""
    return tar(
        {
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
            "index.json": b'{"manifests": []}',
            "blobs/sha256/aa": tar({"etc/os-release": b"Debian"}, "w:gz"),
            "blobs/sha256/bb": tar(inside, "w:gz"),
        }
    )


def release_key(directory: Path, name: str = "release") -> tuple[Path, Path]:
    """Make a release key; return its private and its public file."""
    signer = CryptoSigner.generate_ed25519()
    private, public = directory / f"{name}.pem", directory / f"{name}.pub"
    private.write_bytes(signer.private_bytes)
    key = signer._private_key.public_key()
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def flipped(path: Path, at: int) -> None:
    """Change one bit of a file, or change it back."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))

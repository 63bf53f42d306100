"""Public keys from files: a PEM file, or the root.json of a repository, whose key of targets signs releases."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError

from daemon.core.errors import Refused
from daemon.core.files import read_bounded
from daemon.publisher.metadata import MAX_BYTES


def read_public_keys(path: Path) -> list[SSlibKey]:
    """Return the keys of a file. Raises Refused when it has none."""
    try:
        content = read_bounded(path, MAX_BYTES["root"])
    except OSError as error:
        raise Refused(f"{path}: cannot be read: {error.strerror or error}") from error
    if content.lstrip().startswith(b"{"):
        return _of_root(path, content)
    if b"PRIVATE KEY" in content:
        raise Refused(f"{path}: is a private key. The public one is made by: openssl pkey -in FILE -pubout")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused(f"{path}: expected a public key in PEM, or the root.json of a repository") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(f"{path}: is not a public key for Ed25519")
    return [SSlibKey.from_crypto(key)]


def _of_root(path: Path, content: bytes) -> list[SSlibKey]:
    try:
        root = Metadata[Root].from_bytes(content).signed
    except DeserializationError as error:
        raise Refused(f"{path}: expected a public key in PEM, or the root.json of a repository") from error
    if not isinstance(root, Root):
        raise Refused(f"{path}: is the {root.type} document of a repository; name its root.json")
    keys = [root.keys[key_id] for key_id in root.roles["targets"].keyids]
    return [key for key in keys if isinstance(key, SSlibKey)]

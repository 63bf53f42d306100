"""Private keys from PEM files and environment variables; their content never appears in a message."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, SSlibKey

from daemon.core.errors import Refused
from daemon.core.files import removed_on_error, sync_directory

# followed by the role, and by the number of a root key: PERCEPTD_KEY_TIMESTAMP, PERCEPTD_KEY_ROOT_1
KEY_VARIABLE = "PERCEPTD_KEY_"

# the suffix of a key that will replace another: both exist until everything is signed with the new one
NEW = ".new.pem"


class KeyRing:
    """The available private keys. A role's keys are read only when it signs, so that the others may be unreadable."""

    def __init__(self, directories: Sequence[Path], environment: Mapping[str, str] = os.environ) -> None:
        """Search the directories in order; a key that replaces no other is written to the first."""
        self._directories = directories
        self._environment = environment

    def signers(self, role: str, key_ids: Sequence[str]) -> list[CryptoSigner]:
        """Return the role's keys with these ids. Raises Refused when a file or variable of the role is not a key."""
        found = {signer.public_key.keyid: signer for _, signer in self._found(role)}
        return [found[key_id] for key_id in key_ids if key_id in found]

    def missing_text(self, role: str, key_ids: Sequence[str], threshold: int) -> str:
        """Return a message that names the missing keys of a role, and the places that were searched."""
        here = len(self.signers(role, key_ids))
        others = [where for where, signer in self._found(role) if signer.public_key.keyid not in key_ids]
        foreign = f"; the repository does not know the key in {', '.join(others)}" if others else ""
        searched = ", ".join(f"{path}{'' if path.is_dir() else ' (no such directory)'}" for path in self._directories)
        number = "_NUMBER" if role == "root" else ""
        return (
            f"{role} needs {threshold} of its {len(key_ids)} keys, found {here}{foreign}; searched {searched} (--keys) "
            f"and in {KEY_VARIABLE}{role.upper()}{number}"
        )

    @contextmanager
    def new(self, stem: str) -> Iterator[SSlibKey]:
        """Write a new key beside the one that it will replace; remove it when the block fails.

        Raises Refused when its directory does not exist, and OSError.
        """
        owners = (directory for directory in self._directories if (directory / f"{stem}.pem").exists())
        directory = next(owners, self._directories[0])
        if not directory.is_dir():
            raise Refused(f"{directory}: no such directory for the new key; make it, or name another one with --keys")
        signer = CryptoSigner.generate_ed25519()
        path = directory / f"{stem}{NEW}"
        _write_secret(path, signer.private_bytes)
        try:
            yield signer.public_key
        except BaseException:
            path.unlink()
            raise

    def activate(self, key_ids: Sequence[str]) -> list[Path]:
        """Replace old keys by the new ones that the repository names; return their paths. Raises OSError."""
        activated = []
        for path in sorted(path for directory in self._directories for path in directory.glob(f"*{NEW}")):
            if _read(str(path), path.read_bytes()).public_key.keyid in key_ids:
                activated.append(path.replace(path.with_name(path.name.removesuffix(NEW) + ".pem")))
        return activated

    def make_directory(self) -> None:
        """Create the directory for new keys. Raises Refused when it contains a key, and OSError."""
        existing = sorted(self._directories[0].glob("*.pem"))
        if existing:
            raise Refused(f"{existing[0]}: exists already; move the keys away, or name another directory with --keys")
        self._directories[0].mkdir(mode=0o700, parents=True, exist_ok=True)

    def readable_by_others(self) -> list[Path]:
        """Return the key files that other users of this machine can read."""
        paths = (path for directory in self._directories for path in sorted(directory.glob("*.pem")))
        return [path for path in paths if os.access(path, os.F_OK) and path.stat().st_mode & 0o077]

    def _found(self, role: str) -> Iterator[tuple[str, CryptoSigner]]:
        stem = r"root-\d+" if role == "root" else role
        for directory in self._directories:
            for path in sorted(directory.glob(f"{role}*.pem")):
                if re.fullmatch(rf"{stem}({re.escape(NEW)}|\.pem)", path.name):
                    yield str(path), _read(str(path), path.read_bytes())
        variable = KEY_VARIABLE + (r"ROOT_\d+" if role == "root" else role.upper())
        for name, text in sorted(self._environment.items()):
            if text and re.fullmatch(variable, name):  # an empty variable is a secret that is not set
                yield name, _read(name, text.encode())


def read_signer(path: Path) -> CryptoSigner:
    """Return the private key of a PEM file. Raises Refused."""
    try:
        return _read(str(path), path.read_bytes())
    except OSError as error:
        raise Refused(f"{path}: cannot be read: {error.strerror or error}") from error


def _read(where: str, pem: bytes) -> CryptoSigner:
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # the library's message is left out: it may quote its input
        raise Refused(f"{where}: is not a private key in PEM (PKCS8) without a password{_hint(pem)}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Refused(f"{where}: is not a private key for Ed25519")
    return CryptoSigner(private)


def _hint(pem: bytes) -> str:
    if b"\\n" in pem:
        return "; its lines end with the two characters \\n: use real line ends"
    if b"-----BEGIN" not in pem and len(pem.splitlines()) == 1:
        return "; it seems to be a path: give the content of the file, from -----BEGIN to the end"
    return ""


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file atomically, readable only by its owner from the start. Raises OSError."""
    new = path.with_name(f".{path.name}.unfinished")
    new.unlink(missing_ok=True)
    with removed_on_error(new):
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    sync_directory(path.parent)

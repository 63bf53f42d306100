"""Private keys: one PEM file each, or a variable of the environment. What they hold is never shown."""

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

KEY_VARIABLE = "PERCEPTD_KEY_"
"""Before the role, and a root key's number: PERCEPTD_KEY_TIMESTAMP, PERCEPTD_KEY_ROOT_1."""

NEW = ".new.pem"
"""The ending of a key that is to take another one's place: until all is signed with it, both are there."""


class KeyRing:
    """The private keys within reach; a role's are looked for when it signs, so that no other needs to be readable."""

    def __init__(self, directories: Sequence[Path], environment: Mapping[str, str] = os.environ) -> None:
        """The first of the directories is where keys are written that take no other's place."""
        self._directories = directories
        self._environment = environment

    def signers(self, role: str, key_ids: Sequence[str]) -> list[CryptoSigner]:
        """The role's keys that have these ids. Raises Refused when what should hold a key does not."""
        found = {signer.public_key.keyid: signer for _, signer in self._found(role)}
        return [found[key_id] for key_id in key_ids if key_id in found]

    def lack(self, role: str, key_ids: Sequence[str], threshold: int) -> str:
        """What is missing for the role to sign, and where it was looked for, in words."""
        here = len(self.signers(role, key_ids))
        others = [where for where, signer in self._found(role) if signer.public_key.keyid not in key_ids]
        stranger = f"; the repository does not name the key in {', '.join(others)}" if others else ""
        places = ", ".join(f"{path}{'' if path.is_dir() else ', which is not there'}" for path in self._directories)
        number = "_NUMBER" if role == "root" else ""
        return (
            f"{role} needs {threshold} of its {len(key_ids)} keys, found {here}{stranger}; looked in {places} (--keys) "
            f"and in {KEY_VARIABLE}{role.upper()}{number}"
        )

    @contextmanager
    def new(self, stem: str) -> Iterator[SSlibKey]:
        """A new key, written beside the one that it is to replace; removed when the block fails.

        Raises Refused when there is no directory for it, and OSError.
        """
        holding = (directory for directory in self._directories if (directory / f"{stem}.pem").exists())
        directory = next(holding, self._directories[0])
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

    def settle(self, key_ids: Sequence[str]) -> list[Path]:
        """New keys that the repository names take the place of the old ones; gives their paths. Raises OSError."""
        settled = []
        for path in sorted(path for directory in self._directories for path in directory.glob(f"*{NEW}")):
            if _read(str(path), path.read_bytes()).public_key.keyid in key_ids:
                settled.append(path.replace(path.with_name(path.name.removesuffix(NEW) + ".pem")))
        return settled

    def make_directory(self) -> None:
        """Make the directory for new keys. Raises Refused when it holds any key, and OSError."""
        there = sorted(self._directories[0].glob("*.pem"))
        if there:
            raise Refused(f"{there[0]}: is there already; move the keys away, or name another directory with --keys")
        self._directories[0].mkdir(mode=0o700, parents=True, exist_ok=True)

    def exposed(self) -> list[Path]:
        """Files of keys that other users of this machine can read."""
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
            if text and re.fullmatch(variable, name):  # empty: a secret that is not set
                yield name, _read(name, text.encode())


def _read(where: str, pem: bytes) -> CryptoSigner:
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # what the library says is left out: it may quote what it was given
        raise Refused(f"{where}: holds no private key in PEM (PKCS8), without a password{_guess(pem)}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Refused(f"{where}: holds a private key, but none for Ed25519")
    return CryptoSigner(private)


def _guess(pem: bytes) -> str:
    if b"\\n" in pem:
        return "; its lines end with the two characters \\n: give it lines of their own"
    if b"-----BEGIN" not in pem and len(pem.splitlines()) == 1:
        return "; a path or the like seems to stand there: give the text of the file, from -----BEGIN to the end"
    return ""


def _write_secret(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, that only we can read from its first moment on. Raises OSError."""
    new = path.with_name(f".{path.name}.unfinished")
    new.unlink(missing_ok=True)
    with removed_on_error(new):
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    sync_directory(path.parent)

"""The search for keys, and the messages for missing and invalid ones."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import CryptoSigner

from daemon.core.errors import Refused
from daemon.publisher.keys import KeyRing
from tests.helpers.publishing import Repository
from tests.publisher.device import Device


def make(ring: KeyRing, stem: str) -> str:
    ring.make_directory()
    with ring.new(stem) as key:
        ring.activate([key.keyid])
        return key.keyid


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    ring = KeyRing([tmp_path / "keys"], {})
    key_id = make(ring, "timestamp")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "timestamp.pem").stat().st_mode & 0o777 == 0o600
    assert [signer.public_key.keyid for signer in ring.signers("timestamp", [key_id])] == [key_id]
    assert ring.signers("snapshot", [key_id]) == []
    assert ring.signers("timestamp", ["another"]) == []


def test_an_incomplete_key_file_is_removed(tmp_path: Path, repository: Repository) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            repository.rotate("timestamp")
    assert list(repository.refresh().roles) == ["timestamp"]
    repository.rotate("timestamp")
    assert sorted(path.name for path in repository.keys.iterdir()) == [
        "root-1.pem",
        "snapshot.pem",
        "targets.pem",
        "timestamp.pem",
    ]


def test_keys_come_from_several_directories_and_from_the_environment(tmp_path: Path) -> None:
    first, second = KeyRing([tmp_path / "a"], {}), KeyRing([tmp_path / "b"], {})
    ids = [make(first, "root-1"), make(second, "root-2"), make(KeyRing([tmp_path / "c"], {}), "root-3")]
    environment = {"PERCEPTD_KEY_ROOT_3": (tmp_path / "c" / "root-3.pem").read_text(), "PERCEPTD_KEY_ROOT_4": ""}
    ring = KeyRing([tmp_path / "a", tmp_path / "b"], environment)
    assert [signer.public_key.keyid for signer in ring.signers("root", ids)] == ids
    assert ring.signers("timestamp", ids) == []


def test_a_repository_signs_with_keys_of_the_environment(tmp_path: Path, repository: Repository) -> None:
    device = Device(tmp_path / "device", repository.root, repository.public)
    for role in ("timestamp", "root-1"):
        path = repository.keys / f"{role}.pem"
        repository.environment[f"PERCEPTD_KEY_{role.upper().replace('-', '_')}"] = path.read_text()
        path.unlink()
    repository.refresh()
    repository.rotate("timestamp")
    assert (repository.keys / "timestamp.pem").is_file()
    repository.refresh()
    assert device.bundles() == {"brightness@1.2.3"}


def test_an_invalid_key_is_refused_and_not_shown(tmp_path: Path) -> None:
    elliptic = generate_private_key(SECP256R1())
    locked = CryptoSigner.generate_ed25519()._private_key
    plain = (Encoding.PEM, PrivateFormat.PKCS8)
    texts = {
        "nonsense-nonsense": "is not a private key in PEM",
        locked.private_bytes(*plain, BestAvailableEncryption(b"x")).decode(): "is not a private key in PEM",
        elliptic.private_bytes(*plain, NoEncryption()).decode(): "is not a private key for Ed25519",
    }
    for text, reason in texts.items():
        (tmp_path / "timestamp.pem").write_text(text)
        for ring in (KeyRing([tmp_path], {}), KeyRing([], {"PERCEPTD_KEY_TIMESTAMP": text})):
            with pytest.raises(Refused, match=reason) as caught:
                ring.signers("timestamp", [])
            assert text.splitlines()[-1] not in str(caught.value)
            assert "PERCEPTD_KEY_TIMESTAMP" in str(caught.value) or "timestamp.pem" in str(caught.value)


def test_an_unknown_key_is_reported_differently_from_a_missing_one(tmp_path: Path) -> None:
    ring = KeyRing([tmp_path], {})
    make(ring, "timestamp")
    message = ring.missing_text("timestamp", ["another"], 1)
    assert message == (
        "timestamp needs 1 of its 1 keys, found 0; the repository does not know the key in "
        f"{tmp_path}/timestamp.pem; searched {tmp_path} (--keys) and in PERCEPTD_KEY_TIMESTAMP"
    )


def test_a_role_needs_only_its_own_keys_to_be_readable(tmp_path: Path, repository: Repository) -> None:
    (repository.keys / "targets.pem").write_text("damaged")
    os.mkfifo(repository.keys / "other.pem")  # reading it would never end
    assert list(repository.refresh().roles) == ["timestamp"]

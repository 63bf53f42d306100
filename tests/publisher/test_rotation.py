"""After a key is replaced, every device continues: with the old root, after an absence, and after an attack."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from daemon.core.errors import Refused
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.publishing import Repository
from tests.publisher.device import Device

KEYS = ["root", "targets", "snapshot", "timestamp"]
ORDER = ["targets", "snapshot", "timestamp"]
FAR = 1_000_000


def read_newest(metadata: Path, role: str) -> bytes:
    paths = metadata.glob(f"*{role}.json")
    return max(paths, key=lambda path: int(path.name.split(".")[0]) if role != "timestamp" else 0).read_bytes()


def signer_of(path: Path) -> CryptoSigner:
    return CryptoSigner(load_pem_private_key(path.read_bytes(), None))


@pytest.mark.parametrize("role", KEYS)
def test_devices_continue_after_a_rotation(tmp_path: Path, repository: Repository, device: Device, role: str) -> None:
    name = "root-1.pem" if role == "root" else f"{role}.pem"
    old = (repository.keys / name).read_bytes()
    before = {role.role: role.keys for role in repository.report().roles}
    assert repository.rotate(role) == [repository.keys / name]
    after = {role.role: role.keys for role in repository.report().roles}
    assert {role for role in KEYS if before[role] != after[role]} == {role}
    assert (repository.keys / name).read_bytes() != old
    assert (repository.keys / name).stat().st_mode & 0o777 == 0o600
    assert not list(repository.keys.glob("*.new.pem"))
    assert device.bundles() == {"brightness@1.2.3"}
    repository.refresh()
    repository.add(write_bundle(tmp_path / "new", version="2.0.0"))
    repository.publish()
    assert device.bundles() == {"brightness@1.2.3", "brightness@2.0.0"}
    assert device.version("root") == 2
    given_anew = Device(tmp_path / "anew", repository.root, repository.public)
    assert given_anew.bundles() == device.bundles()


def test_a_device_that_missed_many_rotations_continues(repository: Repository, device: Device) -> None:
    for role in [*KEYS, *reversed(KEYS)]:
        repository.rotate(role)
    assert device.bundles() == {"brightness@1.2.3"}
    assert device.version("root") == 9


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_a_lost_key_is_replaced_by_the_root_keys(
    tmp_path: Path, repository: Repository, device: Device, role: str
) -> None:
    (repository.keys / f"{role}.pem").unlink()
    repository.add(write_bundle(tmp_path / "new", version="2.0.0"))
    with pytest.raises(Refused, match=rf"{role} needs 1 of its 1 keys, found 0; searched .*keys \(--keys\) and in"):
        repository.publish()
    assert device.bundles() == {"brightness@1.2.3"}
    repository.rotate(role)
    assert device.bundles() == {"brightness@1.2.3"}
    repository.publish()
    assert device.bundles() == {"brightness@1.2.3", "brightness@2.0.0"}


@pytest.mark.parametrize("role", ["targets", "snapshot", "timestamp"])
def test_a_replaced_key_cannot_sign_any_more(repository: Repository, device: Device, role: str) -> None:
    stolen = signer_of(repository.keys / f"{role}.pem")
    repository.rotate(role)
    device.refresh()
    metadata = repository.public / "metadata"
    keys = {name: signer_of(repository.keys / f"{name}.pem") for name in ORDER} | {role: stolen}
    documents = {name: Metadata.from_bytes(read_newest(metadata, name)) for name in ORDER}
    for name in ORDER:
        documents[name].signed.version += 1
        if name == "snapshot":
            documents[name].signed.meta["targets.json"] = MetaFile(documents["targets"].signed.version)
        if name == "timestamp":
            documents[name].signed.snapshot_meta = MetaFile(documents["snapshot"].signed.version)
        documents[name].sign(keys[name])
        served = "timestamp.json" if name == "timestamp" else f"{documents[name].signed.version}.{name}.json"
        (metadata / served).write_bytes(documents[name].to_bytes())
    with pytest.raises(RepositoryError, match=f"{role} was signed by 0/1 keys"):
        device.refresh()


def test_fast_forward_by_a_stolen_timestamp_key_ends_with_its_rotation(repository: Repository, device: Device) -> None:
    path = repository.public / "metadata" / "timestamp.json"
    good = path.read_bytes()
    forged: Metadata[Timestamp] = Metadata.from_bytes(good)
    forged.signed.version = FAR
    forged.sign(signer_of(repository.keys / "timestamp.pem"))
    path.write_bytes(forged.to_bytes())
    device.refresh()
    path.write_bytes(good)
    repository.refresh()
    with pytest.raises(RepositoryError):
        device.refresh()
    repository.rotate("timestamp")
    assert device.bundles() == {"brightness@1.2.3"}
    assert device.version("timestamp") < FAR


def test_fast_forward_by_stolen_online_keys_ends_with_their_rotation(repository: Repository, device: Device) -> None:
    metadata = repository.public / "metadata"
    good = (metadata / "timestamp.json").read_bytes()
    snapshot: Metadata[Snapshot] = Metadata.from_bytes((metadata / "2.snapshot.json").read_bytes())
    snapshot.signed.version = snapshot.signed.meta["targets.json"].version = FAR
    snapshot.sign(signer_of(repository.keys / "snapshot.pem"))
    timestamp: Metadata[Timestamp] = Metadata.from_bytes(good)
    timestamp.signed.version = timestamp.signed.snapshot_meta.version = FAR
    timestamp.signed.snapshot_meta.hashes = timestamp.signed.snapshot_meta.length = None
    timestamp.sign(signer_of(repository.keys / "timestamp.pem"))
    (metadata / f"{FAR}.snapshot.json").write_bytes(snapshot.to_bytes())
    (metadata / "timestamp.json").write_bytes(timestamp.to_bytes())
    with pytest.raises(Exception, match=f"{FAR}.targets.json"):
        device.refresh()
    assert device.version("snapshot") == FAR
    (metadata / "timestamp.json").write_bytes(good)
    for role in ("timestamp", "snapshot"):
        with pytest.raises(RepositoryError):
            device.refresh()
        repository.rotate(role)
    assert device.bundles() == {"brightness@1.2.3"}


@pytest.fixture
def shared(tmp_path: Path) -> Repository:
    """A repository whose root needs two of three keys."""
    repository = Repository(tmp_path / "shared").init(root_keys=3, threshold=2)
    repository.add(write_bundle(tmp_path / "shared-bundle"))
    repository.publish()
    return repository


def test_two_of_three_root_keys_replace_the_third(tmp_path: Path, shared: Repository) -> None:
    device = Device(tmp_path / "device", shared.root, shared.public)
    device.refresh()
    (shared.keys / "root-2.pem").unlink()
    ids = {role.role: role.keys for role in shared.report().roles}["root"]
    assert shared.rotate("root", 2) == [shared.keys / "root-2.pem"]
    found = {role.role: role for role in shared.report().roles}["root"]
    assert (found.keys[0], found.keys[2], found.threshold) == (ids[0], ids[2], 2)
    assert found.keys[1] != ids[1]
    (shared.keys / "root-3.pem").unlink()
    shared.rotate("timestamp")
    assert device.bundles() == {"brightness@1.2.3"}
    assert device.version("root") == 3


def test_all_root_keys_are_replaced_one_by_one(tmp_path: Path, shared: Repository) -> None:
    device = Device(tmp_path / "device", shared.root, shared.public)
    for slot in (1, 2, 3):
        shared.rotate("root", slot)
    assert device.bundles() == {"brightness@1.2.3"}


@pytest.mark.parametrize("role", ["timestamp", "root"])
def test_too_few_root_keys_change_nothing(shared: Repository, role: str) -> None:
    (shared.keys / "root-2.pem").unlink()
    (shared.keys / "root-3.pem").unlink()
    before = {path: path.read_bytes() for path in shared.directory.rglob("*") if path.is_file()}
    with pytest.raises(Refused) as caught:
        shared.rotate(role, 3 if role == "root" else 1)
    assert "root needs 2 of its 3 keys, found 1; " in str(caught.value)
    assert "PERCEPTD_KEY_ROOT_NUMBER" in str(caught.value)
    assert {path: path.read_bytes() for path in shared.directory.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("role", "slot"), [("root", 4), ("timestamp", 2)])
def test_an_unknown_slot_is_refused(shared: Repository, role: str, slot: int) -> None:
    with pytest.raises(Refused, match=rf"{role} has . keys: expected a number from 1 to ., found {slot}"):
        shared.rotate(role, slot)

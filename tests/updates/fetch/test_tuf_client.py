"""Attacks on metadata and files over a real web server: each is refused with a reason, and leaves nothing usable."""

import shutil
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from daemon.core.errors import UpdateError
from tests.helpers.tufrepo import TufRepo, in_days
from tests.helpers.webserver import Fault, WebServer
from tests.updates.fetching import FILES, Device, files_below

NEW = {**FILES, "head.tflite": b"another head"}
ROLES = ["timestamp", "snapshot", "targets"]
UNSIGNED = "is not signed by enough of the keys that are trusted"
OTHER_VERSION = "has another version than it must have"
NOT_ANNOUNCED = "is not the file that the signed metadata announces"


def publish_next(repo: TufRepo) -> None:
    repo.add("digits", "1.1.0", NEW)
    repo.publish()


def restore(repo: TufRepo, kept: dict[str, bytes]) -> None:
    for name, content in kept.items():
        (repo.metadata / name).write_bytes(content)


def announce(repo: TufRepo, role: str) -> None:
    """Sign anew what stands above a role, so that hash and length of the role's file are as announced."""
    for above in ROLES[: ROLES.index(role)][::-1]:
        repo.renew(above)


def check_trust_refused(device: Device, words: str, *arguments: str) -> str:
    refused = device.refused(*arguments)
    assert refused.kind == "trust", refused
    assert words in str(refused)
    return str(refused)


@pytest.mark.parametrize("signers", [[], [CryptoSigner.generate_ed25519()]], ids=["unsigned", "wrongly signed"])
@pytest.mark.parametrize("role", ROLES)
def test_metadata_that_is_not_signed_by_the_publisher(
    repo: TufRepo, device: Device, role: str, signers: list[CryptoSigner]
) -> None:
    repo.write(role, signers)
    announce(repo, role)
    said = check_trust_refused(device, UNSIGNED)
    assert f"/metadata/{repo.file_name(role)}: " in said
    assert f"({role} was signed by 0/1 keys)" in said


@pytest.mark.parametrize("signers", [[], [CryptoSigner.generate_ed25519()]], ids=["unsigned", "wrongly signed"])
def test_a_root_that_is_not_signed_by_the_publisher(repo: TufRepo, device: Device, signers: list[CryptoSigner]) -> None:
    repo.rotate("timestamp", signers=signers)
    repo.publish()
    assert "/metadata/2.root.json: " in check_trust_refused(device, UNSIGNED)


def test_a_root_signed_by_its_own_new_key_alone(repo: TufRepo, device: Device) -> None:
    thief = CryptoSigner.generate_ed25519()
    repo.rotate("root", signers=[thief])
    repo.write("root", repo.keys["root"])
    check_trust_refused(device, UNSIGNED)


@pytest.mark.parametrize("count", [1, 2])
def test_the_threshold_of_root(tmp_path: Path, count: int) -> None:
    repo = TufRepo(tmp_path / "public", root_keys=3, threshold=2)
    repo.add("digits", "1.0.0", FILES)
    repo.publish()
    old = repo.keys["root"]
    repo.rotate("timestamp", signers=old[:count])
    repo.publish()
    with WebServer(repo.directory).serving() as web:
        device = Device(tmp_path / "device", web.url, repo.root)
        if count == 2:
            device.fetch()
        else:
            assert "(root was signed by 1/2 keys)" in check_trust_refused(device, UNSIGNED)


@pytest.mark.parametrize("role", ROLES)
def test_metadata_changed_after_it_was_signed(repo: TufRepo, device: Device, role: str) -> None:
    path = repo.metadata / repo.file_name(role)
    path.write_bytes(path.read_bytes().replace(b"20", b"21", 1))
    check_trust_refused(device, UNSIGNED if role == "timestamp" else NOT_ANNOUNCED)


def test_a_file_changed_after_it_was_signed(repo: TufRepo, device: Device) -> None:
    [served] = repo.targets.rglob("*.image.tflite")
    served.write_bytes(bytes(len(FILES["image.tflite"])))
    said = check_trust_refused(device, "differs from what was signed")
    assert "image.tflite" in said
    assert not list(device.store.rglob("*image.tflite"))


@pytest.mark.parametrize("content", [FILES["image.tflite"][:-1], b""], ids=["short", "empty"])
def test_a_file_of_a_wrong_length(repo: TufRepo, device: Device, content: bytes) -> None:
    [served] = repo.targets.rglob("*.image.tflite")
    served.write_bytes(content)
    check_trust_refused(device, "differs from what was signed")
    assert not list(device.store.rglob("*image.tflite"))


def test_an_older_timestamp(repo: TufRepo, device: Device) -> None:
    kept = repo.kept()
    publish_next(repo)
    device.list_releases()
    restore(repo, {"timestamp.json": kept["timestamp.json"]})
    assert "/timestamp.json: " in check_trust_refused(device, OTHER_VERSION)


def test_an_older_snapshot_under_a_new_timestamp(repo: TufRepo, device: Device) -> None:
    publish_next(repo)
    device.list_releases()
    repo.parts["snapshot"].version = 2
    repo.renew("timestamp")
    assert "/timestamp.json: " in check_trust_refused(device, OTHER_VERSION)


def test_older_targets_under_a_new_snapshot(repo: TufRepo, device: Device) -> None:
    publish_next(repo)
    device.list_releases()
    repo.parts["targets"].version = 2
    repo.renew("snapshot")
    repo.renew("timestamp")
    assert "snapshot.json: " in check_trust_refused(device, OTHER_VERSION)


@pytest.mark.parametrize("role", ROLES)
def test_metadata_that_has_expired(repo: TufRepo, device: Device, role: str) -> None:
    repo.parts[role].expires = in_days(-1)
    repo.publish()
    said = check_trust_refused(device, f"its {role} metadata expired {in_days(-1):%Y-%m-%d}")
    assert "the publisher must refresh it" in said
    repo.parts[role].expires = in_days(1)
    repo.publish()
    device.fetch()


def test_a_root_that_has_expired(repo: TufRepo, device: Device) -> None:
    repo.parts["root"].expires = in_days(-2)
    repo.rotate("timestamp")
    repo.publish()
    check_trust_refused(device, f"its root metadata expired {in_days(-2):%Y-%m-%d}")
    repo.parts["root"].expires = in_days(1)
    repo.rotate("timestamp")
    repo.publish()
    device.fetch()


def test_a_source_that_is_frozen_after_a_check(repo: TufRepo, device: Device) -> None:
    repo.parts["timestamp"].expires = in_days(-0.1)
    repo.renew("timestamp")
    for _ in range(2):  # the same again, which TUF's client does not even read
        check_trust_refused(device, "its timestamp metadata expired")


def test_mix_and_match(repo: TufRepo, device: Device) -> None:
    """Targets and snapshots that were signed, but not for each other."""
    old = repo.kept()
    publish_next(repo)
    restore(repo, {"3.targets.json": old["2.targets.json"]})
    check_trust_refused(device, NOT_ANNOUNCED)
    restore(repo, {"3.snapshot.json": old["2.snapshot.json"]})
    check_trust_refused(device, NOT_ANNOUNCED)


def test_mix_and_match_where_only_versions_are_announced(repo: TufRepo, device: Device) -> None:
    """TUF lets a snapshot leave lengths and hashes out."""
    old = repo.kept()
    publish_next(repo)
    meta = repo.parts["snapshot"].meta["targets.json"]
    meta.length, meta.hashes = None, None
    repo.write("snapshot")
    repo.renew("timestamp")
    restore(repo, {"3.targets.json": old["2.targets.json"]})
    check_trust_refused(device, OTHER_VERSION)


@pytest.mark.parametrize(
    ("role", "rotated"),
    [("timestamp", ["timestamp"]), ("snapshot", ["snapshot", "timestamp"]), ("targets", ["snapshot"])],
)
def test_fast_forward_and_recovery(repo: TufRepo, device: Device, role: str, rotated: list[str]) -> None:
    """Who had a key raised versions as far as they go; with keys rotated, devices take the publisher's own again."""
    before = repo.parts[role].version
    repo.renew(role, to=2**31 - 1)
    announce(repo, role)
    device.list_releases()
    repo.parts[role].version = before
    publish_next(repo)
    check_trust_refused(device, OTHER_VERSION, "digits", "1.1.0")
    for name in rotated:
        repo.rotate(name)
    repo.publish()
    device.fetch("digits", "1.1.0")


@pytest.mark.parametrize("role", ROLES)
def test_a_stolen_key_that_was_rotated_out(repo: TufRepo, device: Device, role: str) -> None:
    stolen = repo.keys[role]
    device.fetch()
    repo.rotate(role)
    repo.publish()
    device.list_releases()
    shutil.rmtree(device.store / "partial")
    repo.add("digits", "6.6.6", {**FILES, "head.tflite": b"the thief's"})
    repo.renew("targets")
    if role != "targets":
        repo.renew("snapshot")
    if role == "timestamp":
        repo.renew("timestamp")
    repo.write(role, stolen)
    announce(repo, role)
    check_trust_refused(device, UNSIGNED, "digits", "6.6.6")


def test_root_keys_that_were_rotated_out(repo: TufRepo, device: Device) -> None:
    stolen = repo.keys["root"]
    repo.rotate("root")
    device.list_releases()
    repo.rotate("targets", signers=stolen)
    repo.publish()
    check_trust_refused(device, UNSIGNED)


def test_roots_are_verified_one_by_one_from_the_provisioned_one(repo: TufRepo, device: Device) -> None:
    for role in ("root", "targets", "root", "timestamp", "root"):
        repo.rotate(role)
    repo.publish()
    device.fetch()
    (repo.metadata / "3.root.json").unlink()  # what is known need not be sent again
    device.list_releases()


def test_a_missing_or_invalid_provisioned_root(device: Device, tmp_path: Path) -> None:
    device.root = tmp_path / "absent.json"
    check_trust_refused(device, f"{device.root}: cannot be read: No such file or directory; expected the root.json")
    device.root.write_bytes(b"{}")
    check_trust_refused(device, f"{device.root}: is no root.json signed by its own keys")


def test_the_root_of_another_publisher(repo: TufRepo, device: Device, tmp_path: Path) -> None:
    device.list_releases()
    device.root = TufRepo(tmp_path / "other" / "public").root
    check_trust_refused(device, UNSIGNED)


@pytest.mark.parametrize("content", [b"", b"{", b"<html>Log in", b"[" * 10_000, b"\xff\xfe", b'{"signed": 3}'])
@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json"])
def test_files_that_are_not_metadata(device: Device, web: WebServer, name: str, content: bytes) -> None:
    web.faults[f"/metadata/{name}"] = Fault(content=content)
    refused = device.refused()
    assert refused.kind == "source"
    assert f"/metadata/{name}: is not TUF metadata" in str(refused)


CACHE = [
    "timestamp.json",
    "snapshot.json",
    "targets.json",
    "root.json",
    "root_history/1.root.json",
    "root_history/2.root.json",
]


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "zeros"])
@pytest.mark.parametrize("name", CACHE)
def test_a_damaged_cache_does_not_prevent_updates(repo: TufRepo, device: Device, name: str, damage: str) -> None:
    repo.rotate("targets")
    repo.publish()
    device.list_releases()
    _damage(device.metadata / name, damage)
    (device.metadata / "tmpabcdef").write_bytes(b"half")  # of a process that was killed
    publish_next(repo)
    device.fetch("digits", "1.1.0")
    assert {path.name for path in device.metadata.iterdir()} == {
        *(f"{role}.json" for role in ROLES),
        "root.json",
        "root_history",
    }


@pytest.mark.parametrize("damage", ["empty", "cut"])
@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json"])
def test_the_intact_files_of_a_damaged_cache_still_prevent_a_rollback_attack(
    repo: TufRepo, device: Device, name: str, damage: str
) -> None:
    old = repo.kept()
    publish_next(repo)
    device.list_releases()
    _damage(device.metadata / name, damage)
    shutil.rmtree(repo.metadata)
    repo.metadata.mkdir()
    restore(repo, old)
    check_trust_refused(device, OTHER_VERSION)


def _damage(path: Path, damage: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "zeros": bytes(len(content))}[damage])


def test_a_refusal_does_not_change_the_cache(repo: TufRepo, device: Device) -> None:
    device.list_releases()
    before = files_below(device.metadata)
    thief = [CryptoSigner.generate_ed25519()]
    repo.renew("timestamp")
    repo.write("timestamp", thief)
    with pytest.raises(UpdateError):
        device.list_releases()
    assert files_below(device.metadata) == before

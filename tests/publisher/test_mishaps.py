"""Mishaps of a publisher: a wrong clock, a damaged key, a missing file, a second command."""

import fcntl
import os
import shutil
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Thread

import pytest
from tuf.api.metadata import Metadata, MetaFile

from daemon.core.errors import Refused
from daemon.publisher.files import locked
from daemon.publisher.keys import KeyRing
from daemon.publisher.repository import open_repository, utc_now
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.publishing import Repository
from tests.publisher.device import Device
from tests.publisher.test_rotation import signer_of

NOW = datetime.now(timezone.utc)


def everything(repository: Repository) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in repository.directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["publish", "refresh", "rotate"])
def test_a_clock_behind_the_last_signatures_signs_nothing(tmp_path: Path, repository: Repository, command: str) -> None:
    repository.add(write_bundle(tmp_path / "new", version="2.0.0"))
    before = everything(repository)
    repository.now = NOW - timedelta(days=8)
    clock = f"this machine's clock says {repository.now:%Y-%m-%d} "
    message = rf"{clock}.*, but timestamp\.json was signed on [\d-]+: set the clock"
    with pytest.raises(Refused, match=message):
        repository.rotate("timestamp") if command == "rotate" else getattr(repository, command)()
    assert everything(repository) == before
    assert all(role.is_urgent for role in repository.report().roles)


def test_a_clock_that_was_set_back_a_little_signs(repository: Repository, device: Device) -> None:
    repository.now = NOW - timedelta(hours=23)
    assert list(repository.refresh().roles) == ["timestamp"]
    assert not repository.report().is_urgent
    device.refresh()


def test_signatures_of_a_clock_far_ahead_are_renewed_on_demand(repository: Repository, device: Device) -> None:
    repository.now = NOW + timedelta(days=1800)
    repository.refresh()
    repository.now = None
    found = repository.report()
    assert [role.role for role in found.roles if role.is_urgent] == ["root", "targets", "snapshot", "timestamp"]
    assert all("--clock-is-right" in role.remedy for role in found.roles)
    with pytest.raises(Refused, match="perceptd repo refresh --clock-is-right"):
        repository.refresh()
    assert list(repository.refresh(is_clock_right=True).roles) == ["root", "targets", "snapshot", "timestamp"]
    assert not repository.report().is_urgent
    repository.refresh()
    assert device.bundles() == {"brightness@1.2.3"}


@pytest.mark.parametrize("flaw", ["damaged", "unreadable"])
@pytest.mark.parametrize(
    ("key", "days_ago", "renewed"),
    [
        ("snapshot", 21, ["timestamp"]),
        ("snapshot", 61, ["timestamp"]),
        ("targets", 61, ["snapshot", "timestamp"]),
        ("root-1", 245, ["targets", "snapshot", "timestamp"]),
    ],
)
def test_a_key_that_cannot_be_read_affects_only_its_own_role(
    tmp_path: Path, key: str, days_ago: int, renewed: list[str], flaw: str
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.now = NOW - timedelta(days=days_ago)
    repository.init()
    path = repository.keys / f"{key}.pem"
    if flaw == "damaged":
        path.write_text("x")
    else:
        path.unlink()
        path.mkdir()  # root may read anything but this
    repository.now = None
    refreshed = repository.refresh()
    assert list(refreshed.roles) == renewed
    assert len(refreshed.troubles) == 1
    assert refreshed.troubles[0].startswith(f"{key.removesuffix('-1')} is not renewed: {path}: ")


def test_a_missing_snapshot_key_does_not_prevent_the_timestamp(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.now = NOW - timedelta(days=61)
    repository.init()
    (repository.keys / "snapshot.pem").unlink()
    repository.now = None
    assert list(repository.refresh().roles) == ["timestamp"]


def test_a_lost_root_json_is_restored_from_the_published_one(repository: Repository, device: Device) -> None:
    repository.rotate("timestamp")
    repository.root.unlink()
    with pytest.raises(Refused, match=r"root\.json: is missing: copy the newest public/metadata/N\.root\.json"):
        repository.refresh()
    before = everything(repository)
    for keys in ("keys", "other"):
        repository.keys = repository.directory / keys
        with pytest.raises(Refused, match=r"metadata: has signed documents, but .*/root\.json is missing: copy "):
            repository.init()
    assert everything(repository) == before
    repository.keys = repository.directory / "keys"
    shutil.copy(repository.public / "metadata" / "2.root.json", repository.root)
    repository.refresh()
    assert device.bundles() == {"brightness@1.2.3"}


def test_an_older_public_directory_is_not_signed(tmp_path: Path, repository: Repository, device: Device) -> None:
    backup = shutil.copytree(repository.public, tmp_path / "backup")
    repository.add(write_bundle(tmp_path / "new", version="2.0.0"))
    repository.publish()
    device.refresh()
    shutil.rmtree(repository.public)
    shutil.copytree(backup, repository.public)
    with pytest.raises(Refused, match="older than what was published: targets has version 2, but 3 was signed"):
        repository.refresh()
    (repository.directory / "last-signed.json").unlink()
    repository.rotate("timestamp")
    repository.rotate("snapshot")
    assert device.bundles() == {"brightness@1.2.3"}
    (repository.directory / "last-signed.json").write_text("[]")
    with pytest.raises(Refused, match=r"last-signed\.json: is damaged; restore it from a backup, or remove it"):
        repository.refresh()


def test_a_new_key_is_written_beside_the_old_one(tmp_path: Path, repository: Repository, device: Device) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    old = (repository.keys / "root-1.pem").rename(stick / "root-1.pem").read_bytes()
    ring = KeyRing([repository.keys, stick], {})
    with open_repository(repository.directory) as one:
        assert one.rotate("root", 1, ring, utc_now()) == [stick / "root-1.pem"]
    assert (stick / "root-1.pem").read_bytes() != old
    assert not list(repository.keys.glob("root*"))
    with open_repository(repository.directory) as one:
        assert one.rotate("timestamp", 1, ring, utc_now()) == [repository.keys / "timestamp.pem"]
    assert device.bundles() == {"brightness@1.2.3"}


def test_only_init_creates_a_directory_for_keys(tmp_path: Path, repository: Repository) -> None:
    typo = KeyRing([tmp_path / "typo"], {"PERCEPTD_KEY_ROOT_1": (repository.keys / "root-1.pem").read_text()})
    with open_repository(repository.directory) as one:
        with pytest.raises(Refused, match=r"typo: no such directory for the new key; make it, or name another one"):
            one.rotate("targets", 1, typo, utc_now())
        with pytest.raises(Refused, match=r"searched .*/typo \(no such directory\) \(--keys\)"):
            one.refresh(typo, utc_now())
    assert not (tmp_path / "typo").exists()


def test_a_read_only_lock_file_is_enough_and_init_creates_it(repository: Repository) -> None:
    lock = repository.directory / "lock"
    assert lock.is_file()
    lock.chmod(0o444)
    repository.refresh()


def test_waiting_for_another_command_is_reported(tmp_path: Path) -> None:
    """The other command ends when this one reports that it waits."""
    reader, writer = os.pipe()
    received: list[bytes] = []
    other = os.open(tmp_path / "lock", os.O_RDONLY | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)

    def end() -> None:
        received.append(os.read(reader, 1000))
        os.close(other)

    thread = Thread(target=end)
    thread.start()
    with os.fdopen(writer, "w") as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        with locked(tmp_path):
            thread.join()
    os.close(reader)
    assert received == [f"{tmp_path}: waiting for another perceptd repo command\n".encode()]


def test_of_two_inits_at_once_one_is_refused(tmp_path: Path) -> None:
    refused: list[Refused] = []

    def init() -> None:
        try:
            Repository(tmp_path / "repository").init()
        except Refused as error:
            refused.append(error)

    threads = [Thread(target=init) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(error) for error in refused] == [f"{tmp_path}/repository: is a repository already"]
    repository = Repository(tmp_path / "repository")
    repository.refresh()
    assert Device(tmp_path / "device", repository.root, repository.public).targets() == {}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("/srv/keys/timestamp.pem", "it seems to be a path: give the content of the file"),
        (
            r"-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----",
            r"its lines end with the two characters \n: ",
        ),
    ],
)
def test_a_mistake_in_a_keys_variable_is_explained_and_its_value_not_shown(text: str, hint: str) -> None:
    with pytest.raises(Refused) as caught:
        KeyRing([], {"PERCEPTD_KEY_TIMESTAMP": text}).signers("timestamp", [])
    assert hint in str(caught.value)
    assert text not in str(caught.value)
    assert "MC4C" not in str(caught.value)


def test_keys_that_others_can_read_are_found(repository: Repository) -> None:
    ring = KeyRing([repository.keys], {})
    assert ring.readable_by_others() == []
    (repository.keys / "targets.pem").chmod(0o640)
    (repository.keys / "gone.pem").symlink_to("nowhere")
    assert ring.readable_by_others() == [repository.keys / "targets.pem"]


def test_a_snapshot_without_targets_is_reported(repository: Repository) -> None:
    metadata = repository.public / "metadata"
    snapshot = Metadata.from_bytes((metadata / "2.snapshot.json").read_bytes())
    snapshot.signed.meta.clear()
    snapshot.sign(signer_of(repository.keys / "snapshot.pem"))
    (metadata / "2.snapshot.json").write_bytes(snapshot.to_bytes())
    timestamp = Metadata.from_bytes((metadata / "timestamp.json").read_bytes())
    timestamp.signed.snapshot_meta = MetaFile(2)
    timestamp.sign(signer_of(repository.keys / "timestamp.pem"))
    (metadata / "timestamp.json").write_bytes(timestamp.to_bytes())
    with pytest.raises(Refused, match=r"2\.snapshot\.json: names no targets\.json; restore it"):
        repository.refresh()

"""A device's view of a repository after each command."""

import json
import re
import shutil
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tuf.api.exceptions import ExpiredMetadataError

from daemon.bundle.bundle import load_bundle
from daemon.bundle.ml_bom_file import write_ml_bom
from daemon.bundle.ml_bom_reader import card_of, differences
from daemon.bundle.model_card import ModelCard
from daemon.bundle.release import Release, ReleaseInfo
from daemon.core.errors import BundleError, Refused
from daemon.publisher.contents import add_release, describe_release
from daemon.publisher.files import copy_to_targets
from daemon.publisher.keys import KeyRing
from daemon.publisher.metadata import Edition, next_documents
from daemon.publisher.repository import open_repository
from tests.helpers.bill import assert_valid
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT
from tests.helpers.publishing import Repository
from tests.helpers.serving import serving
from tests.publisher.device import Device

NOW = datetime.now(timezone.utc)
DIGITS = ROOT / "models" / "digits"


def test_a_new_repository_is_empty_and_valid(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository").init()
    assert Device(tmp_path / "device", repository.root, repository.public).targets() == {}
    assert repository.root.read_bytes() == (repository.public / "metadata" / "1.root.json").read_bytes()


def test_an_existing_repository_or_key_is_never_overwritten(repository: Repository) -> None:
    with pytest.raises(Refused, match="is a repository already"):
        repository.init()
    shutil.move(repository.directory / "keys", repository.directory.with_name("other") / "keys")
    with pytest.raises(Refused, match=r"keys/root-1\.pem: exists already; move the keys away"):
        Repository(repository.directory.with_name("other")).init()


def test_every_file_that_a_daemon_needs_is_published_and_nothing_else(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository").init()
    release = repository.add(DIGITS)
    device = Device(tmp_path / "device", repository.root, repository.public)
    assert device.targets() == {}, "it is not published yet"
    assert repository.publish() == [release]
    found = device.targets()
    names = {path.relative_to(DIGITS) for path in DIGITS.rglob("*") if path.is_file() and "demo" not in path.parts}
    prefix = f"digits/{release.signed.version}/"
    assert found == {f"{prefix}{name}": (DIGITS / name).read_bytes() for name in names}
    targets = json.loads((device.directory / "targets.json").read_bytes())["signed"]["targets"]
    custom = targets[f"{prefix}bundle.yaml"]["custom"]
    assert ReleaseInfo.model_validate(custom["perceptd"]) == release.signed
    assert Release.model_validate_json(release.model_dump_json()) == release
    assert sorted(targets) == [prefix + entry.path for entry in release.files]


def test_any_web_server_serves_it(tmp_path: Path, repository: Repository) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(repository.public))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with serving(server):
        url = f"http://127.0.0.1:{server.server_port}"
        device = Device(tmp_path / "device", repository.root, repository.public, url)
        assert device.bundles() == {"brightness@1.2.3"}
        repository.rotate("timestamp")
        assert device.bundles() == {"brightness@1.2.3"}


def test_editor_files_are_not_published_and_odd_names_are_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "selftest" / ".cases.yaml.swp").write_text("half")
    (bundle / "notes.txt").write_text("mine")
    repository = Repository(tmp_path / "repository").init()
    paths = [entry.path for entry in repository.add(bundle).files]
    assert paths == [
        "bundle.yaml",
        "head.tflite",
        "image.tflite",
        "ml-bom.cdx.json",
        "selftest/cases.yaml",
        "selftest/white.png",
    ]
    (bundle / "selftest" / "white (1).png").write_bytes(b"")
    with pytest.raises(BundleError, match=r"white \(1\)\.png: expected a name of letters, digits"):
        repository.add(bundle)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["files.txt"], r"it has a file files\.txt, a reserved name$"),
        (["files.new"], r"it has a file files\.new, a reserved name$"),
        ([f"selftest/{number}" for number in range(395)], "it has 401 files, more than 400$"),
        ([f"selftest/{number:0100}" for number in range(380)], "the list of its 386 files has more than"),
        (["selftest/Cases.yaml"], "names of its files are equal, or differ in case only"),
    ],
    ids=["listing", "new listing", "many", "long", "case"],
)
def test_releases_that_devices_would_reject_are_refused(tmp_path: Path, more: list[str], why: str) -> None:
    models = [name for name in more if "/" not in name]
    head = {"model": models[0]} if models else {"model": "head.tflite"}
    bundle = write_bundle(tmp_path / "bundle", head=head)
    for name in more:
        (bundle / name).write_bytes(b"x")
    repository = Repository(tmp_path / "repository").init()
    with pytest.raises(BundleError, match=f"bundle: cannot be published: {why}"):
        repository.add(bundle)


def test_versions_are_published_beside_each_other(tmp_path: Path, repository: Repository, device: Device) -> None:
    for version in ("1.10.0", "1.9.0"):
        repository.add(write_bundle(tmp_path / version, version=version))
    assert [release.signed.version for release in repository.publish()] == ["1.9.0", "1.10.0"]
    assert device.bundles() == {"brightness@1.2.3", "brightness@1.9.0", "brightness@1.10.0"}
    assert [release.signed.version for release in repository.report().published] == ["1.2.3", "1.9.0", "1.10.0"]


def test_a_published_version_never_changes(tmp_path: Path, repository: Repository, device: Device) -> None:
    before = device.targets()
    other = write_bundle(tmp_path / "other", description="better")
    with pytest.raises(BundleError, match=r"brightness@1\.2\.3 is published with other files, and a version never"):
        repository.add(other)
    repository.add(tmp_path / "bundle")
    assert repository.publish() == []
    assert device.targets() == before


def test_a_staged_bundle_can_be_replaced(tmp_path: Path, repository: Repository, device: Device) -> None:
    repository.add(write_bundle(tmp_path / "new", version="2.0.0"))
    better = repository.add(write_bundle(tmp_path / "better", version="2.0.0", description="better"))
    assert repository.report().staged == [better]
    assert repository.publish() == [better]
    assert device.targets()["brightness/2.0.0/bundle.yaml"] == (tmp_path / "better" / "bundle.yaml").read_bytes()
    assert repository.report().staged == []


def test_a_staged_file_that_has_changed_is_not_signed(tmp_path: Path, repository: Repository, device: Device) -> None:
    repository.add(write_bundle(tmp_path / "new", version="2.0.0"))
    staged = repository.directory / "staged" / "brightness@2.0.0" / "files" / "head.tflite"
    staged.write_bytes(staged.read_bytes() + b"x")
    with pytest.raises(BundleError, match=r"head\.tflite: has changed since it was hashed"):
        repository.publish()
    assert device.bundles() == {"brightness@1.2.3"}


def test_refresh_renews_the_timestamp_alone(repository: Repository, device: Device) -> None:
    before = {path.name: path.read_bytes() for path in (repository.public / "metadata").iterdir()}
    assert list(repository.refresh().roles) == ["timestamp"]
    device.refresh()
    after = {path.name: path.read_bytes() for path in (repository.public / "metadata").iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"timestamp.json"}
    assert device.version("timestamp") == 3


@pytest.mark.parametrize(
    ("days_ago", "renewed"),
    [
        (19, ["timestamp"]),
        (21, ["snapshot", "timestamp"]),
        (61, ["targets", "snapshot", "timestamp"]),
        (245, ["root", "targets", "snapshot", "timestamp"]),
        (400, ["root", "targets", "snapshot", "timestamp"]),
    ],
)
def test_refresh_renews_roles_with_a_third_left_and_expired_ones(
    tmp_path: Path, days_ago: int, renewed: list[str]
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.now = NOW - timedelta(days=days_ago)
    repository.init()
    repository.add(write_bundle(tmp_path / "bundle"))
    repository.publish()
    device = Device(tmp_path / "device", repository.root, repository.public)
    with pytest.raises(ExpiredMetadataError):
        device.refresh()
    repository.now = None
    assert repository.report().is_urgent
    assert list(repository.refresh().roles) == renewed
    assert not repository.report().is_urgent
    assert device.bundles() == {"brightness@1.2.3"}


def test_refresh_without_the_keys_of_due_roles_renews_the_others_and_reports_it(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.now = NOW - timedelta(days=80)
    repository.init()
    for name in ("root-1", "targets"):
        (repository.keys / f"{name}.pem").unlink()
    repository.now = None
    assert list(repository.refresh().roles) == ["snapshot", "timestamp"]
    assert [role.role for role in repository.report().roles if role.is_urgent] == ["targets"]
    Device(tmp_path / "device", repository.root, repository.public).refresh()


def test_publishing_renews_expired_roles(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.now = NOW - timedelta(days=100)
    repository.init()
    repository.now = None
    repository.add(write_bundle(tmp_path / "bundle"))
    repository.publish()
    assert Device(tmp_path / "device", repository.root, repository.public).bundles() == {"brightness@1.2.3"}


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
@pytest.mark.parametrize("change", ["damaged", "forged", "gone", "foreign"])
def test_manipulated_published_metadata_is_not_signed_again(repository: Repository, name: str, change: str) -> None:
    path = repository.public / "metadata" / name
    document = json.loads(path.read_bytes())
    document["signed"]["version"] += 1
    foreign = (repository.public / "metadata" / "1.root.json").read_bytes()
    contents = {"damaged": b"{", "forged": json.dumps(document).encode(), "foreign": foreign}
    path.unlink() if change == "gone" else path.write_bytes(contents[change])
    served = {path: path.read_bytes() for path in repository.public.rglob("*.json")}
    with pytest.raises(Refused, match=r"json: .*; restore it from "):
        repository.refresh()
    assert {path: path.read_bytes() for path in repository.public.rglob("*.json")} == served


def test_an_older_edition_is_not_taken_for_the_last(tmp_path: Path, repository: Repository) -> None:
    metadata = repository.public / "metadata"
    shutil.copy(metadata / "1.targets.json", metadata / "2.targets.json")
    with pytest.raises(Refused, match=r"2\.targets\.json: is not the document that was signed last"):
        repository.refresh()


def test_a_directory_without_a_repository_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="is not a repository; create one with perceptd repo init"):
        Repository(tmp_path).publish()


def test_a_bundle_without_an_ml_bom_gets_one(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    repository = Repository(tmp_path / "repository").init()
    release = repository.add(bundle)
    repository.publish()
    assert not (bundle / "ml-bom.cdx.json").exists(), "the publisher's directory stays as it is"
    device = Device(tmp_path / "device", repository.root, repository.public)
    content = device.targets()["brightness/1.2.3/ml-bom.cdx.json"]
    assert_valid(content)
    assert differences(content, release.files) == []


def test_an_ml_bom_of_other_files_is_made_anew_and_keeps_its_card_while_the_models_are_the_same(tmp_path: Path) -> None:
    bundle, card = write_bundle(tmp_path / "bundle"), ModelCard(purpose="tells light from dark")
    write_ml_bom(bundle, load_bundle(bundle).manifest, card)
    first = (bundle / "ml-bom.cdx.json").read_bytes()
    repository = Repository(tmp_path / "repository").init()

    def staged(version: str) -> tuple[bytes, Release]:
        manifest = (bundle / "bundle.yaml").read_text()
        (bundle / "bundle.yaml").write_text(re.sub(r"(?m)^version: .*", f"version: {version}", manifest))
        release = repository.add(bundle)
        return (repository.directory / f"staged/{release.id}/files/ml-bom.cdx.json").read_bytes(), release

    assert staged("1.2.3")[0] == first
    content, release = staged("1.2.4")
    assert (differences(content, release.files), card_of(content)) == ([], card)
    with (bundle / "head.tflite").open("ab") as file:
        file.write(b"0")
    content, release = staged("1.2.5")
    assert (differences(content, release.files), card_of(content)) == ([], ModelCard())
    (bundle / "ml-bom.cdx.json").write_text("{")
    content, release = staged("1.2.6")
    assert differences(content, release.files) == []


def test_what_an_older_version_has_published_without_an_ml_bom_is_still_that_bundle(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    repository = Repository(tmp_path / "repository").init()
    release = describe_release(bundle, load_bundle(bundle).manifest, "0.1.0", 64)
    old = without_ml_bom(release)
    with open_repository(repository.directory) as opened:
        edition = opened.edition()
        targets = deepcopy(edition.targets)
        add_release(targets.signed, old)
        following = Edition(edition.root, targets, edition.snapshot, edition.timestamp)
        opened.pending.put(next_documents(following, edition.root, "targets", KeyRing([repository.keys]), NOW))
        copy_to_targets(opened.targets, old, bundle)
        assert opened.published(release) == old
        opened.stage(release, bundle)
        assert opened.publish(KeyRing([repository.keys]), NOW) == []


def test_what_an_older_version_has_staged_without_an_ml_bom_is_added_again_before_it_is_signed(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    repository = Repository(tmp_path / "repository").init()
    with open_repository(repository.directory) as opened:
        release = describe_release(bundle, load_bundle(bundle).manifest, "0.1.0", 64)
        opened.stage(without_ml_bom(release), bundle)
        with pytest.raises(Refused, match=r"was staged without ml-bom\.cdx\.json by an older version of perceptd;"):
            opened.publish(KeyRing([repository.keys]), NOW)
        opened.stage(release, bundle)
        assert opened.publish(KeyRing([repository.keys]), NOW) == [release]


def without_ml_bom(release: Release) -> Release:
    return release.model_copy(update={"files": tuple(one for one in release.files if one.path != "ml-bom.cdx.json")})

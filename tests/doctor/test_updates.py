"""Findings of a source of bundles: a real publisher behind a real web server."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from daemon import __version__
from daemon.bundle.release import Offer
from daemon.doctor.finding import Finding
from daemon.doctor.updates import Expiry, SourceStatus, assess_source, models_findings
from daemon.publisher.repository import utc_now
from daemon.updates.messages import ReleaseList
from daemon.updates.policy import BuiltInBundle
from daemon.updates.startup import DryStart
from daemon.updates.state import UpdateState
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.publishing import Repository
from tests.helpers.webserver import Fault, WebServer
from tests.updates.fetching import Device, files_below

BUILT_IN = BuiltInBundle("brightness@1.0.0", Path("/own"))
UNKNOWN = DryStart(UpdateState())


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository").init()
    made.add(write_bundle(tmp_path / "bundle"))
    made.publish()
    return made


@pytest.fixture
def web(repository: Repository) -> Iterator[WebServer]:
    with WebServer(repository.public).serving() as server:
        yield server


@pytest.fixture
def device(tmp_path: Path, repository: Repository, web: WebServer) -> Device:
    return Device(tmp_path / "device", web.url, repository.root)


def looked(device: Device, start: DryStart = UNKNOWN) -> Finding:
    """The finding of the source; the device's files may not change."""
    before = files_below(device.store) if device.store.exists() else None
    finding, store = models_findings(device.source, device.root, device.store, BUILT_IN, start)
    assert (finding.check, store.check) == ("models", "models on disk")
    assert before == (files_below(device.store) if device.store.exists() else None)
    assert "\n" not in finding.line()
    return finding


def warned(finding: Finding, found: str, remedy: str) -> None:
    assert finding.level == "warning"
    assert found in finding.found
    assert remedy in (finding.remedy or "")


def test_a_good_source(device: Device) -> None:
    assert looked(device) == Finding(
        "models",
        "good",
        f"{device.source}: 1 bundle; the newest brightness is 1.2.3",
    )


def test_a_usb_stick_is_a_source(device: Device, repository: Repository) -> None:
    device.source = f"file://{repository.public}/"
    assert looked(device).level == "good"


def test_an_older_state_of_the_source_is_noticed(tmp_path: Path, device: Device, repository: Repository) -> None:
    shutil.copytree(repository.public, tmp_path / "old")
    repository.refresh()
    device.list_releases()
    assert looked(device).level == "good"
    shutil.copytree(tmp_path / "old", repository.public, dirs_exist_ok=True)
    warned(looked(device), "timestamp.json: has another version than it must have: it is older than one", "ask the pub")


def test_expired_metadata_and_metadata_that_expires_soon(device: Device, repository: Repository) -> None:
    repository.now = utc_now() - timedelta(days=6)
    repository.refresh(is_clock_right=True)
    expires = repository.now + timedelta(days=7)
    warned(looked(device), f"; its timestamp metadata expires {expires:%Y-%m-%d %H:%M} UTC", "perceptd repo refresh")
    repository.now = utc_now() - timedelta(days=7, minutes=1)
    repository.refresh(is_clock_right=True)
    warned(looked(device), "its timestamp metadata expired", "ask the publisher")


def test_short_lifetimes_are_good_while_they_are_renewed(tmp_path: Path, web: WebServer) -> None:
    repository = Repository(tmp_path / "short")
    repository.days["timestamp"] = 1
    repository.init()
    assert looked(Device(tmp_path / "d", f"file://{repository.public}", repository.root)).level == "good"


def test_a_source_signed_by_others(tmp_path: Path, device: Device) -> None:
    device.root = Repository(tmp_path / "other").init().root
    warned(looked(device), "is not signed by enough of the keys that are trusted", "bring its root.json here")


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (Fault(status=404), "timestamp.json: has no such file (404)"),
        (Fault(status=500), "timestamp.json: the server failed (500)"),
        (Fault(content=b"<html>"), "timestamp.json: is not TUF metadata: is this a repository of bundles?"),
    ],
    ids=["absent", "broken", "other"],
)
def test_a_source_with_wrong_answers(device: Device, web: WebServer, fault: Fault, found: str) -> None:
    web.faults["*/timestamp.json"] = fault
    warned(looked(device), found, "models.source in config.yaml")


def test_a_missing_source(device: Device) -> None:
    device.source = "http://127.0.0.1:1/models"
    warned(looked(device), "refuses connections: is a web server running there?", "models.source in config.yaml")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "cannot be read: No such file or directory; expected the root.json"),
        (b"", "is not JSON; expected the root.json"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not signed root metadata"),
        (b'{"signed": {"_type": "targets"}, "signatures": [{}]}', "is not signed root metadata"),
        (b'{"signed": {"_type": "root"}, "signatures": []}', "is not signed root metadata"),
        (b'{"signed": {"_type": "root"}, "signatures": [{}]}', "is no root.json signed by its own keys"),
    ],
)
def test_an_unusable_root(tmp_path: Path, device: Device, content: bytes | None, found: str) -> None:
    device.root = tmp_path / "root.json"
    if content is not None:
        device.root.write_bytes(content)
    warned(looked(device), f"{device.root}: {found}", "here")


def test_while_the_clock_is_behind_the_source_is_not_checked(device: Device, web: WebServer) -> None:
    tomorrow_s = datetime.now(timezone.utc).timestamp() + 86_400
    warned(looked(device, DryStart(UpdateState(seen_time=tomorrow_s))), "waiting for it to be set", "set the clock")
    assert web.requests == []


def offer(name: str, version: str, needs: str = "0.0.1") -> Offer:
    return Offer(name=name, version=version, needs_perceptd=needs, memory_mb=1, size=1)


@pytest.mark.parametrize(
    ("offers", "text"),
    [
        ([], "0 bundles; none of them is brightness, the active bundle"),
        ([offer("digits", "9.0.0")], "1 bundle; none of them is brightness, the active bundle"),
        (
            [offer("brightness", "1.9.0"), offer("brightness", "1.10.0"), offer("digits", "9.0.0")],
            "3 bundles; the newest brightness is 1.10.0",
        ),
        (
            [offer("brightness", "2.0.0", "99.0.0")],
            f"the newest brightness is 2.0.0, which needs perceptd 99.0.0: this is {__version__}",
        ),
    ],
)
def test_the_text_for_the_releases_of_a_source(offers: list[Offer], text: str) -> None:
    finding = assess_source(
        "https://x/", SourceStatus(ReleaseList(releases=tuple(offers), skipped=()), None, None), BUILT_IN.id
    )
    assert finding.level == "good"
    assert finding.found.startswith("https://x: ") and text in finding.found


def test_left_out_expiring_and_unread_metadata_is_reported() -> None:
    status = SourceStatus(ReleaseList(releases=(), skipped=("a@1.0.0 has no bundle.yaml", "b")), None, None)
    assert assess_source("https://x", status, BUILT_IN.id).found.endswith("; 2 left out: a@1.0.0 has no bundle.yaml")
    expiry = Expiry("snapshot", datetime(2026, 1, 2, tzinfo=timezone.utc))
    warned(
        assess_source("https://x", replace(status, expiry=expiry), BUILT_IN.id),
        "snapshot metadata expires 2026-01-02",
        "re",
    )
    warned(
        assess_source("https://x", replace(status, unread="/t cannot be read"), BUILT_IN.id),
        "; /t cannot be read",
        "as the us",
    )


def test_without_a_known_active_bundle_none_is_named(device: Device) -> None:
    start = DryStart(UpdateState(), problem="state.json cannot be read")
    assert looked(device, start) == Finding("models", "good", f"{device.source}: 1 bundle")

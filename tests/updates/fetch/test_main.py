"""Files are fetched once, step by step; errors are reported, and leave no incomplete file."""

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from daemon.core.errors import UpdateError
from daemon.runtime.child import Child
from daemon.runtime.shared_memory import shared_memory
from daemon.updates.fetch import main
from daemon.updates.fetch.main import disk_error
from tests.helpers.tufrepo import TufRepo, signed_part
from tests.helpers.webserver import Fault, WebServer
from tests.updates.fetching import FILES, Device, call, files_below

# at random moments of a fetch, which takes a tenth of a second here
KILLS = 30


def test_a_bundle_is_found_fetched_and_verified(device: Device) -> None:
    [offer] = device.list_releases().releases
    assert (offer.name, offer.version, offer.size) == ("digits", "1.0.0", sum(map(len, FILES.values())))
    release = device.resolve()
    result = device.download(release)
    assert (result.fetched, result.reused) == (release.size, 0)
    assert device.progress == release.size
    device.verify(release)
    files = files_below(device.into(release))
    assert files.pop("files.txt") == b"".join(
        f"{entry.sha256} {entry.length} {entry.path}\n".encode() for entry in release.files
    )
    assert files == FILES


def test_every_stage_runs_in_a_child_process(device: Device) -> None:
    def run(stage: str, request: dict, *inherits: int) -> dict:
        with Child(getattr(main, stage), json.dumps(request), inherits=inherits) as child:
            return json.loads(child.result(60))

    source = device.from_source()
    assert run("list_releases", source)["result"]["skipped"] == []
    release = run("resolve", {**source, "name": "digits", "version": "1.0.0"})["result"]["release"]
    into, progress = str(device.store / "into"), shared_memory(8)
    asked = {**source, "release": release, "into": into, "have": [], "progress": progress}
    done = run("download", asked, progress)["result"]["fetched"]
    assert done == int.from_bytes(os.pread(progress, 8, 0), "little") == sum(map(len, FILES.values()))
    assert run("verify", {"release": release, "into": into}) == {"ok": True, "result": {}}
    refused = run("resolve", {**source, "name": "digits", "version": "9.9.9"})
    assert refused == {"ok": False, "kind": "source", "reason": "the source has no digits@9.9.9; it has digits@1.0.0"}


def test_files_of_the_built_in_bundle_are_not_fetched_if_they_are_the_same(
    device: Device, web: WebServer, tmp_path: Path
) -> None:
    local = tmp_path / "own"
    (local / "selftest").mkdir(parents=True)
    (local / "image.tflite").write_bytes(FILES["image.tflite"])
    (local / "head.tflite").write_bytes(bytes(len(FILES["head.tflite"])))  # as long, and another one
    release = device.resolve()
    web.requests.clear()
    result = device.download(release, local)
    assert result.reused == len(FILES["image.tflite"])
    assert not any("image.tflite" in path for path in web.requests)
    assert files_below(device.into(release)) == FILES


def test_an_interrupted_download_continues_file_by_file(device: Device, web: WebServer) -> None:
    release = device.resolve()
    web.faults["/targets/*image.tflite"] = Fault(cut_after=20_000)
    with pytest.raises(UpdateError, match=r"image\.tflite: the connection was cut"):
        device.download(release)
    assert files_below(device.into(release)).keys() == FILES.keys() - {"image.tflite", "selftest/cases.yaml"}
    web.faults.clear()
    web.requests.clear()
    result = device.download(release)
    assert result.reused == len(FILES["bundle.yaml"]) + len(FILES["head.tflite"])
    assert [path.rpartition(".tflite")[1] for path in web.requests] == [".tflite", ""]
    assert files_below(device.into(release)) == FILES


def test_a_file_damaged_by_a_power_cut_is_fetched_again(device: Device, web: WebServer) -> None:
    release = device.resolve()
    device.download(release)
    into = device.into(release)
    (into / "image.tflite").write_bytes(bytes(len(FILES["image.tflite"])))
    (into / "head.tflite").write_bytes(b"")
    (into / ".fetching").write_bytes(b"half")
    (into / "files.new").write_bytes(b"half")
    (into / "stranger.tflite").write_bytes(b"?")
    assert device.download(release).fetched == len(FILES["image.tflite"]) + len(FILES["head.tflite"])
    assert files_below(into) == FILES


def test_a_file_of_another_version_is_not_fetched_again(repo: TufRepo, device: Device, web: WebServer) -> None:
    old = device.fetch()
    repo.add("digits", "1.1.0", {**FILES, "head.tflite": b"another head"})
    repo.publish()
    web.requests.clear()
    release = device.resolve("digits", "1.1.0")
    result = device.download(release, old)
    assert (result.fetched, result.reused) == (len(b"another head"), release.size - len(b"another head"))
    assert [path for path in web.requests if path.startswith("/targets")] == [
        f"/targets/digits/1.1.0/{next(e.sha256 for e in release.files if e.path == 'head.tflite')}.head.tflite"
    ]
    device.verify(release)
    (device.into(release) / "image.tflite").write_bytes(b"written to")  # a copy: the other slot keeps its own
    assert (old / "image.tflite").read_bytes() == FILES["image.tflite"]


@pytest.mark.parametrize("damage", ["file", "no file", "list", "no list", "directory"])
def test_a_damaged_slot_is_not_copied_from(repo: TufRepo, device: Device, damage: str) -> None:
    old = device.fetch()
    repo.add("digits", "1.1.0", {**FILES, "head.tflite": b"another head"})
    repo.publish()
    release = device.resolve("digits", "1.1.0")
    match damage:
        case "file":
            (old / "image.tflite").write_bytes(bytes(len(FILES["image.tflite"])))
        case "no file":
            (old / "image.tflite").unlink()
        case "list":
            (old / "files.txt").write_bytes(b"\xff\n\n1\nx y z\n" + (old / "files.txt").read_bytes()[:70])
        case "no list":
            (old / "files.txt").unlink()
        case "directory":
            shutil.rmtree(old)
    is_lost = damage in ("file", "no file", "directory")  # else it is found by its name, and hashed
    assert (device.download(release, old).fetched >= len(FILES["image.tflite"])) == is_lost
    assert files_below(device.into(release))["image.tflite"] == FILES["image.tflite"]


def test_a_file_that_the_disk_lost_is_noticed_and_fetched_again(device: Device) -> None:
    release = device.resolve()
    device.download(release)
    broken = device.into(release) / "image.tflite"
    broken.write_bytes(b"another")
    with pytest.raises(UpdateError, match="reads back differently than written") as caught:
        device.verify(release)
    assert caught.value.kind == "disk"
    assert not broken.exists()
    assert not (device.into(release) / "files.txt").exists()
    assert device.download(release).fetched == len(FILES["image.tflite"])
    device.verify(release)


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """Writes beyond so many bytes fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_process_killed_at_any_moment_leaves_only_complete_files(repo: TufRepo, device: Device) -> None:
    random = Random(7)
    for number in range(KILLS):
        files = {**FILES, "image.tflite": bytes([number]) * 200_000}
        repo.add("digits", f"2.{number}.0", files)
        repo.publish()
        process = os.fork()
        if process == 0:
            try:
                device.fetch("digits", f"2.{number}.0")
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        release = device.resolve("digits", f"2.{number}.0")
        for path, content in files_below(device.into(release)).items():
            assert path in (".fetching", "files.new", "files.txt") or content == files[path]
    device.fetch("digits", f"2.{KILLS - 1}.0")


def test_no_temporary_directory_is_needed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")  # /tmp is a small file system in memory on many boards
    device.fetch()


def test_a_cache_that_cannot_be_written_is_an_error_of_the_disk(device: Device) -> None:
    with longest_file(100), pytest.raises(UpdateError) as caught:
        device.list_releases()
    assert caught.value.kind == "disk"
    device.fetch()


def test_a_failed_write_is_an_error_of_the_disk_and_leaves_no_partial_file(device: Device) -> None:
    release = device.resolve()
    with longest_file(10_000), pytest.raises(UpdateError) as caught:
        device.download(release)
    assert (caught.value.kind, str(caught.value)) == ("disk", "the directory of bundles: File too large")
    assert files_below(device.into(release)).keys() == {"bundle.yaml", "head.tflite"}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (28, "no space is left"),
        (30, "the file system is read-only"),
        (5, "the disk or card is failing"),
        (13, "Permission denied"),
    ],
)
def test_texts_of_disk_errors(number: int, words: str) -> None:
    fault = disk_error(OSError(number, os.strerror(number), "/store/x"))
    assert (fault.kind, str(fault)) == ("disk", f"/store: {words}")


def test_a_directory_that_cannot_be_written_is_an_error_of_the_disk(device: Device) -> None:
    device.store.parent.mkdir(parents=True)
    device.store.write_text("a file where a directory is needed")
    refused = device.refused()
    assert refused.kind == "disk"
    assert str(refused).startswith(str(device.store))


def test_a_version_for_a_newer_perceptd_is_an_error_of_the_bundle(repo: TufRepo, device: Device) -> None:
    repo.add("digits", "2.0.0", FILES, {"perceptd": signed_part("digits", "2.0.0", needs_perceptd="0.10.0")})
    repo.publish()
    refused = device.refused("digits", "2.0.0")
    assert (refused.kind, str(refused)) == ("bundle", "digits@2.0.0 needs perceptd 0.10.0; this is 0.1.0")
    device.perceptd = "0.10.0"
    device.fetch("digits", "2.0.0")


def test_one_hostile_bundle_leaves_others_usable(repo: TufRepo, device: Device) -> None:
    repo.add("evil", "1.0.0", FILES)
    repo.target("evil/1.0.0/../../../etc/passwd", b"root::0:0")
    repo.target("/etc/passwd", b"root::0:0")
    repo.publish()
    seen = device.list_releases()
    assert [offer.name for offer in seen.releases] == ["digits"]
    assert seen.skipped == (
        "'/etc/passwd' belongs to no bundle: expected NAME/VERSION/FILE",
        "evil@1.0.0 has a file '../../../etc/passwd', which is not a plain name",
    )
    refused = device.refused("evil", "1.0.0")
    assert (refused.kind, str(refused)) == (
        "bundle",
        "evil@1.0.0 has a file '../../../etc/passwd', which is not a plain name",
    )
    device.fetch()


def test_thousands_of_versions_and_hostile_names_fit_into_an_answer(repo: TufRepo, device: Device) -> None:
    for number in range(300):
        repo.add("digits", f"2.{number}.0", {"bundle.yaml": b"x"})
        repo.target(f"../{number}{'é' * 300}", b"x")
    repo.add("other", "0.0.1", {"bundle.yaml": b"x"})
    repo.publish()
    seen = device.list_releases()
    assert len(seen.releases) == 100
    assert len(seen.skipped) == 20
    assert [(seen.releases[i].name, seen.releases[i].version) for i in (0, -2, -1)] == [
        ("digits", "2.201.0"),
        ("digits", "2.299.0"),
        ("other", "0.0.1"),
    ]


def test_a_reason_is_one_short_line(device: Device, tmp_path: Path) -> None:
    root = tmp_path / ("line\nbreak\x1b[31m" + "x" * 100)
    said = call("list_releases", {**device.from_source(), "root": str(root)})
    reason = json.loads(said)["reason"]
    assert reason.isprintable()
    assert "cannot be read: No such file or directory; expected the root.json" in reason

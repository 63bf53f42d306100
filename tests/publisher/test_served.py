"""Only the bundle's own files are published, complete and readable by the web server."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from daemon.bundle.release import ReleaseInfo
from daemon.core.errors import BundleError, Refused
from daemon.publisher.contents import copy_file
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.publishing import Repository, another_version
from tests.publisher.device import Device


def link_to(path: Path, target: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["LICENSE", "selftest/more.txt", "bundle.yaml", "image.tflite"])
@pytest.mark.parametrize("target", ["keys/targets.pem", "/etc/hostname", "same"])
def test_the_target_of_a_link_is_never_published(
    tmp_path: Path, repository: Repository, name: str, target: str
) -> None:
    bundle = another_version(tmp_path / "bundle", "2.0.0", tmp_path / "linked")
    same = (tmp_path / "away").with_suffix(Path(name).suffix)
    same.write_bytes((bundle / name).read_bytes() if (bundle / name).is_file() else b"x")
    needed = name in ("bundle.yaml", "image.tflite")
    link_to(bundle / name, same if target == "same" or needed else repository.directory / target)
    with pytest.raises(BundleError, match=f"linked/{name}: is a symbolic link, or lies below one; replace the "):
        repository.add(bundle)


@pytest.mark.parametrize("relative", [False, True])
def test_a_self_test_that_is_a_link_is_never_published(tmp_path: Path, repository: Repository, relative: bool) -> None:
    bundle = another_version(tmp_path / "bundle", "2.0.0", tmp_path / "linked")
    away = Path(shutil.move(bundle / "selftest", tmp_path / "away"))
    shutil.copy(repository.keys / "targets.pem", away / "targets.pem")
    link_to(bundle / "selftest", Path("../away") if relative else away)
    with pytest.raises(BundleError, match=r"linked/selftest/cases\.yaml: is a symbolic link, or lies below one"):
        repository.add(bundle)


def test_a_file_that_became_a_link_is_not_copied(tmp_path: Path, repository: Repository) -> None:
    release = repository.add(another_version(tmp_path / "bundle", "2.0.0", tmp_path / "new"))
    staged = repository.directory / "staged" / release.id / "files"
    link_to(staged / "head.tflite", tmp_path / "new" / "head.tflite")
    with pytest.raises(BundleError, match=r"head\.tflite: is a symbolic link"):
        repository.publish()


def test_a_pipe_instead_of_a_model_is_refused(tmp_path: Path, repository: Repository) -> None:
    release = repository.add(another_version(tmp_path / "bundle", "2.0.0", tmp_path / "new"))
    (tmp_path / "new" / "head.tflite").unlink()
    os.mkfifo(tmp_path / "new" / "head.tflite")  # opening it as a file would never end
    entry = next(entry for entry in release.files if entry.path == "head.tflite")
    with pytest.raises(BundleError, match=r"head\.tflite: is not a regular file"):
        copy_file(tmp_path / "new", entry, tmp_path / "copy")


def test_a_bundle_behind_a_link_is_published(tmp_path: Path, repository: Repository, device: Device) -> None:
    (tmp_path / "link").symlink_to(another_version(tmp_path / "bundle", "2.0.0", tmp_path / "new"))
    repository.add(tmp_path / "link")
    repository.publish()
    assert "brightness@2.0.0" in device.bundles()


def test_a_web_server_can_read_all_published_files_and_nothing_else(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        repository = Repository(tmp_path / "repository").init()
        repository.add(write_bundle(tmp_path / "bundle"))
        repository.publish()
        repository.rotate("timestamp")
    finally:
        os.umask(before)
    served = [repository.public, *repository.public.rglob("*")]
    assert {(path.is_dir(), path.stat().st_mode & 0o777) for path in served} == {(True, 0o755), (False, 0o644)}
    assert all(path.stat().st_mode & 0o077 == 0 for path in repository.keys.iterdir())


def test_damaged_published_files_are_reported_and_restored(
    tmp_path: Path, repository: Repository, device: Device
) -> None:
    targets = repository.public / "targets" / "brightness" / "1.2.3"
    model, other, cases = (next(targets.rglob(f"*.{name}")) for name in ("head.tflite", "image.tflite", "cases.yaml"))
    model.unlink()
    other.write_bytes(other.read_bytes() + b"x")
    found = repository.report()
    assert found.is_urgent
    assert [flaw.split(";")[0] for flaw in found.flaws] == [
        f"{model}: is missing",
        f"{other}: has {other.stat().st_size} bytes, but {other.stat().st_size - 1} were signed",
    ]
    cases.write_bytes(cases.read_bytes().swapcase())
    release = found.published[0]
    assert repository.restore_files(release, tmp_path / "bundle") == 3
    assert repository.restore_files(release, tmp_path / "bundle") == 0
    assert not repository.report().is_urgent
    assert device.bundles() == {"brightness@1.2.3"}


def test_a_damaged_staged_release_is_reported(tmp_path: Path, repository: Repository) -> None:
    repository.add(another_version(tmp_path / "bundle", "2.0.0", tmp_path / "new"))
    path = repository.directory / "staged" / "brightness@2.0.0" / "release.json"
    path.write_text("{")
    with pytest.raises(Refused, match=rf"{path}: is damaged; remove .*/staged/brightness@2\.0\.0, and add"):
        repository.report()


def test_a_full_disk_is_reported_with_the_path_and_leaves_no_partial_file(
    tmp_path: Path, repository: Repository
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    repository.add(another_version(tmp_path / "bundle", "2.0.0", tmp_path / "new"))
    before = set(repository.public.rglob("*.*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for command in (repository.publish, repository.refresh):
            with pytest.raises(OSError, match="No space left") as caught:
                command()
            assert str(caught.value.filename).startswith(str(repository.directory))
    left = {path for path in repository.public.rglob("*.*") if path.is_file()} - before
    assert left == set()


@pytest.mark.parametrize("version", ["0.05.0", "1.2", "1.2.3.4", "٠.١.٢", "1.2.3\n", "1.2.1234567890", "-1.2.3", ""])
def test_a_version_has_one_form(version: str) -> None:
    with pytest.raises(ValidationError):
        ReleaseInfo(name="x", version=version, needs_perceptd="0.1.0", memory_mb=1)

"""The image of perceptd: two builds in two places, its signature, what it says of itself. Campaign `container`."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from packages.image_archive import content_of
from packages.source import commit

from daemon import __version__
from tests.helpers.artefacts import release_key
from tests.helpers.cache import DIRECTORY
from tests.helpers.container import Engine
from tests.helpers.container_broker import USER
from tests.helpers.packages import ROOT

pytestmark = [pytest.mark.campaign("container", part=0), pytest.mark.xdist_group("sound")]


def perceptd(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "daemon", *command], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The image of the same commit, made by scripts/package in another checkout, with another umask, and signed."""
    directory = tmp_path_factory.mktemp("elsewhere")
    checkout = directory / "a" / "checkout"
    subprocess.run(["git", "-c", "safe.directory=*", "clone", "-q", ROOT, checkout], check=True)
    (checkout / "build").mkdir()
    (checkout / "build/wheels").symlink_to(DIRECTORY / "wheels")
    private, public = release_key(directory)
    command = [sys.executable, "-m", "packages", "--image", "--out", str(directory), "--sign-release", str(private)]
    environment = {**os.environ, "PYTHONPATH": f"{checkout / 'scripts'}:{checkout}"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, umask=0o077, cwd=checkout
    )
    shutil.rmtree(checkout)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split()[0]), public


def test_two_builds_in_two_places_give_the_same_bytes(archive: Path, elsewhere: tuple[Path, Path]) -> None:
    again, _ = elsewhere
    assert again.name == archive.name
    assert again.read_bytes() == archive.read_bytes()
    assert again.with_suffix(".cdx.json").read_bytes() == archive.with_suffix(".cdx.json").read_bytes()


def test_the_signed_image_is_followed_back_to_its_commit(elsewhere: tuple[Path, Path]) -> None:
    image, public = elsewhere
    told = perceptd("verify", str(image), "--key", str(public), "--commit", commit())
    assert told.returncode == 0, told.stderr
    assert commit() in told.stdout
    # of the wheels, and of Debian
    for part in ("numpy", "libportaudio2"):
        assert part in told.stdout


def test_a_changed_image_and_another_key_are_refused(elsewhere: tuple[Path, Path], tmp_path: Path) -> None:
    image, public = elsewhere
    _, other = release_key(tmp_path)
    told = perceptd("verify", str(image), "--key", str(other))
    assert told.returncode != 0
    told = perceptd("verify", str(image), "--key", str(public), "--commit", "0" * 40)
    assert told.returncode != 0
    assert "the commit differs" in told.stderr
    with image.open("r+b") as file:
        file.seek(image.stat().st_size // 2)
        (before,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([before ^ 1]))
    told = perceptd("verify", str(image), "--key", str(public))
    assert told.returncode != 0
    assert "the digest differs" in told.stderr


def test_the_image_says_what_it_is(podman: Engine, image: str) -> None:
    found = podman.configuration(image)
    assert found["User"] == f"{USER}:{USER}"
    assert list(found["Volumes"]) == ["/data"]
    assert list(found["ExposedPorts"]) == ["8099/tcp"]
    assert found["Healthcheck"]["Test"][-2:] == ["daemon.cli.container", "health"]
    assert __version__ in image or Path(image).exists()


def test_the_image_is_as_small_as_it_says(archive: Path) -> None:
    unpacked, translated = 0, []
    with tarfile.open(archive) as image:
        (described,) = json.load(content_of(image, "manifest.json"))
        for name in described["Layers"]:
            with tarfile.open(fileobj=content_of(image, name)) as layer:
                for member in layer:
                    unpacked += member.size
                    if re.match("usr/share/(locale|man|info)/.", member.name) and member.isreg():
                        translated.append(member.name)
    print(f"{archive.stat().st_size / 1e6:.0f} MB to load, {unpacked / 1e6:.0f} MB on the disk")
    # a package that the Containerfile installs may bring a page, and the base none
    assert len(translated) < 20, translated[:20]
    assert (archive.stat().st_size, unpacked) < (200e6, 520e6), "docs/container.md says the size"

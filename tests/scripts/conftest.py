"""The image of a container, built once for all tests of the campaign `container`, and what runs it."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from packages.image import build_image
from packages.targets import TARGETS, Target

from tests.helpers.cache import DIRECTORY
from tests.helpers.container import Engine
from tests.helpers.container_broker import USER
from tests.helpers.networks import network
from tests.helpers.podman import Podman
from tests.helpers.unpacked_image import Unpacked


@pytest.fixture(scope="session")
def image_target() -> Target:
    (found,) = [each for each in TARGETS if each.debian == 13 and each.machine == os.uname().machine]
    return found


@pytest.fixture(scope="session")
def archive(image_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("image")
    began = time.monotonic()
    built = build_image(image_target, out, DIRECTORY / "wheels")
    print(f"the image took {time.monotonic() - began:.0f} s, its archive has {built.stat().st_size / 1e6:.0f} MB")
    return built


@pytest.fixture(scope="session")
def podman(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Whatever runs images here; without podman the run says so and goes on with systemd-nspawn."""
    directory = tmp_path_factory.mktemp("engine")
    podman, nspawn = Podman(directory), Unpacked(directory)
    problem = podman.problem(archive)
    if problem is not None:
        print(f"NOT RUN BY PODMAN, but by systemd-nspawn in the unpacked image: {problem}")
    yield podman if problem is None else nspawn
    nspawn.close()
    podman.close()


@pytest.fixture(scope="session")
def image(podman: Engine, archive: Path) -> str:
    return podman.load(archive)


@pytest.fixture
def own_network() -> Iterator[None]:
    """The test and its containers are at a machine of their own: on this one another program may have their ports."""
    with network({"here": "10.88.0.2/24"}) as found, found.at("here"):
        yield


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume of the user of the image, as an engine makes a named one."""
    made = tmp_path / "volume"
    for path in (made, made / "config", made / "state"):
        path.mkdir()
        os.chown(path, USER, USER)
    return made

"""An image of another version goes on with the volume, and the first one after it. Campaign `container`."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon import __version__
from daemon.node.state_files import STATE_FILES
from tests.helpers.container import START_S, Engine, Options, Running, is_healthy
from tests.helpers.container_broker import ShippedBroker
from tests.helpers.later_image import another_image
from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port
from tests.systemd.packaged import LATER

pytestmark = [
    pytest.mark.campaign("container", part=0),
    pytest.mark.xdist_group("sound"),
    pytest.mark.usefixtures("own_network"),
]

NEWER, LATER_VERSION = "98.0.0", "99.0.0"


@pytest.fixture(scope="module")
def newer(podman: Engine, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of a newer version with the same state."""
    return podman.load(another_image(archive, tmp_path_factory.mktemp("newer") / "newer.tar", NEWER, {}))


@pytest.fixture(scope="module")
def later(podman: Engine, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of which each file of the state has a later version."""
    return podman.load(another_image(archive, tmp_path_factory.mktemp("later") / "later.tar", LATER_VERSION, LATER))


class Volume:
    """Starts images over one volume, and looks at what they leave there."""

    def __init__(self, podman: Engine, path: Path) -> None:
        self.path = path
        self._podman = podman
        self.log = ""

    @contextmanager
    def started(self, image: str, version: str) -> Iterator[Running]:
        """Run an image during a block, and stop it. `log` is what this container prints."""
        log = self.path.with_name(f"log-{len(list(self.path.parent.iterdir()))}")
        with self._podman.running(image, self.path, log, Options()) as container:
            wait_until(lambda: is_healthy(container), "the node plays", START_S)
            assert container.run("perceptd", "--version").stdout.split()[-1] == version
            yield container
            assert container.stop()[0] == 0
        self.log = container.printed()

    def device(self) -> str:
        return (self.path / "state/device_id").read_text().split()[-1]

    def has(self, name: str) -> bool:
        return os.path.lexists(self.path / "state" / name)


def health_of(broker: ShippedBroker, version: str) -> dict[str, Any]:
    """Wait for the health of a node of a version: the broker keeps the last one of the node before."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [json.loads(broker.messages("perceptd/demo/health", 1)[0])]
        return bool(found[0]["version"] == version)

    wait_until(is_there, f"the health of {version}")
    return found[0]


def test_a_newer_image_and_back_keep_config_device_and_waiting_events(
    podman: Engine, image: str, newer: str, volume: Path, tmp_path: Path
) -> None:
    kept = Volume(podman, volume)
    with kept.started(image, __version__):
        pass
    assert "config.yaml was missing" in kept.log
    device = kept.device()
    with ShippedBroker(tmp_path, free_port()).running() as broker:
        broker.configure(volume, history={})
        for there, version in ((newer, NEWER), (image, __version__)):
            with kept.started(there, version):
                # the first ones are those that the container without a broker could not send
                assert broker.messages("perceptd/demo/demo/event", 2)
                assert health_of(broker, version)["state_problem"] is None
            assert "config.yaml was missing" not in kept.log
            assert " ERROR " not in kept.log
            assert kept.device() == device


def test_what_a_later_image_has_written_is_set_aside_and_told(
    podman: Engine, image: str, later: str, volume: Path, tmp_path: Path
) -> None:
    kept = Volume(podman, volume)
    with ShippedBroker(tmp_path, free_port()).running() as broker:
        with kept.started(later, LATER_VERSION) as container:
            broker.configure(volume, history={})
            container.send(signal.SIGHUP)
            assert broker.messages("perceptd/demo/demo/event", 2)
            container.run("perceptd", "page", "--link")
        written = [file for file in STATE_FILES if kept.has(file.path)]
        assert len(written) >= 3
        names = [f"{file.renamed}.version-{file.newest + 1}" for file in written]
        with kept.started(image, __version__) as container:
            told = f"set aside, because a later version of perceptd has written them: {', '.join(names)}"
            assert health_of(broker, __version__)["state_problem"] == told
            assert container.run("perceptd", "page", "--link").stdout.startswith("http://localhost:8099/link/")
        for name in names:
            assert kept.has(name)
            assert kept.log.count(f"; it is now /data/state/{name}\n") == 1
        assert kept.has("page/accounts.json.version-2")
        # who went back may go forward again, with a file of before
        (volume / "state" / names[0]).replace(volume / "state" / written[0].renamed)
        with kept.started(later, LATER_VERSION):
            pass
        assert f"{written[0].path} is damaged" not in kept.log

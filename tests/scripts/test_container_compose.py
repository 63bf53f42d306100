"""compose.yaml: perceptd and mosquitto, each in a container, with the files that are shipped. Campaign `container`."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.container import START_S, Engine, Options, is_healthy
from tests.helpers.container_broker import SHIPPED, configure, messages, write_passwords
from tests.helpers.mosquitto import wait_until
from tests.helpers.mosquitto_image import mosquitto_image
from tests.helpers.networks import Network, network

pytestmark = [pytest.mark.campaign("container", part=0), pytest.mark.xdist_group("sound")]

ADDRESSES = {"mosquitto": "10.89.0.2", "perceptd": "10.89.0.3", "operator": "10.89.0.4"}


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Any]:
    """The services of a copy of the folder, with passwords as docs/container.md makes them."""
    folder = tmp_path / "container"
    shutil.copytree(SHIPPED.parent, folder)
    write_passwords(folder / "mosquitto/perceptd.passwords")
    found: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    return found


@pytest.fixture
def machines() -> Iterator[Network]:
    with network({name: f"{address}/24" for name, address in ADDRESSES.items()}) as found:
        yield found


def options(service: dict[str, Any], name: str, folder: Path, machines: Network) -> Options:
    """Return how compose starts a service, in the network that compose makes. A service finds others by their names."""
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {each}\n" for each, address in ADDRESSES.items()))
    given = {"/etc/hosts": hosts}
    for volume in service["volumes"]:
        source, place, *_mode = volume.split(":")
        if source.startswith("."):
            given[place] = folder / "container" / source
    assert service.get("cap_drop") == (["ALL"] if service.get("read_only") else None)
    return Options({}, given, is_read_only=service.get("read_only", False), network=machines.machines[name])


def test_the_node_logs_in_at_the_broker_beside_it(
    podman: Engine, image: str, services: dict[str, Any], machines: Network, volume: Path, tmp_path: Path
) -> None:
    broker_image = podman.load(mosquitto_image(tmp_path))
    given = {name: options(service, name, tmp_path, machines) for name, service in services.items()}
    data = tmp_path / "data"
    data.mkdir(mode=0o777)
    data.chmod(0o777)
    given["mosquitto"].folders["/mosquitto/data"] = data
    with ExitStack() as stack:
        logs = {name: tmp_path / f"{name}.log" for name in services}
        broker = stack.enter_context(podman.running(broker_image, tmp_path, logs["mosquitto"], given["mosquitto"]))
        node = stack.enter_context(podman.running(image, volume, logs["perceptd"], given["perceptd"]))
        wait_until(lambda: is_healthy(node), "the demo recording plays", START_S)
        configure(volume, "mosquitto", 1883)
        assert node.run("perceptd", "check-config").returncode == 0
        assert node.stop()[0] == 0
        again = stack.enter_context(podman.running(image, volume, logs["perceptd"], given["perceptd"]))
        with machines.at("operator"):
            assert messages(ADDRESSES["mosquitto"], 1883, "perceptd/demo/availability", 1) == ["online"]
            event = json.loads(messages(ADDRESSES["mosquitto"], 1883, "perceptd/demo/demo/event", 1)[0])
        assert event["label"]
        assert "denied" not in broker.printed().lower()
        assert again.stop()[0] == 0
        assert broker.stop()[0] == 0
    assert (data / "mosquitto.db").exists(), "what the broker keeps lies in its volume"

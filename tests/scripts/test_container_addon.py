"""The add-on of Home Assistant: built from its folder, and run as Supervisor does. Campaign `container`."""

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from packages.image import follow
from packages.image_context import write_addon
from packages.targets import Target

from daemon import __version__
from daemon.cli.addon_config import INGRESS_PROXY
from tests.helpers.cache import DIRECTORY
from tests.helpers.container import START_S, Engine, Options, Running, is_healthy
from tests.helpers.container_broker import ACCOUNTS, USER, ShippedBroker
from tests.helpers.mosquitto import wait_until
from tests.helpers.networks import Network, network
from tests.helpers.supervisor import MQTT, TOKEN, supervisor

pytestmark = [pytest.mark.campaign("container", part=0), pytest.mark.xdist_group("sound")]

# the network of add-ons, as Supervisor makes it
BROKER, ADDON = "172.30.33.1", "172.30.33.5"
HOSTS = f"127.0.0.1 localhost\n{INGRESS_PROXY} supervisor hassio\n{BROKER} core-mosquitto\n"
# what Home Assistant and Supervisor send with each request of a person who has logged in
INGRESS = {
    "Host": "homeassistant.local:8123",
    "X-Ingress-Path": "/api/hassio_ingress/k7",
    "X-Forwarded-Host": "homeassistant.local:8123",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-For": "192.168.1.7, 172.30.32.1",
    "X-Remote-User-Id": "4711",
}
OWN_CONFIG = """
node: demo
bundle: /opt/perceptd/models/digits
page: {trusted_proxies: [172.30.32.2], proxy_login: owner}
mqtt: {host: core-mosquitto}
streams:
  door:
    replay: {file: /opt/perceptd/models/digits/demo/clip.mp4, text: /opt/perceptd/models/digits/demo/clip.text.yaml}
"""


@pytest.fixture(scope="module")
def folder(image_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a person copies to /addons."""
    return write_addon([image_target], tmp_path_factory.mktemp("addon"), DIRECTORY / "wheels") / "perceptd"


@pytest.fixture(scope="module")
def addon(podman: Engine, folder: Path, image_target: Target, tmp_path_factory: pytest.TempPathFactory) -> str:
    archive = tmp_path_factory.mktemp("addon-image") / "addon.tar"
    follow(folder / "Dockerfile", "addon", folder, image_target, archive)
    return podman.load(archive)


@dataclass
class House:
    """Home Assistant with a broker, and the folders that it gives to the add-on."""

    network: Network
    broker: ShippedBroker
    data: Path
    config: Path
    hosts: Path

    @contextmanager
    def started(self, podman: Engine, image: str, manifest: dict[str, Any], log: Path) -> Iterator[Running]:
        """Start the add-on as Supervisor does: root, in the network of add-ons, its root can be written."""
        environment = {"SUPERVISOR_TOKEN": TOKEN, "HASSIO_TOKEN": TOKEN, "TZ": "Europe/Berlin"}
        folders = {"/config": self.config, "/etc/hosts": self.hosts}
        network = self.network.machines["addon"]
        given = Options(environment, folders, is_read_only=False, network=network, has_init=manifest["init"])
        with podman.running(image, self.data, log, given) as container:
            yield container

    def ask(self, machine: str, port: int, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        """Ask the page of the add-on from a machine in its network."""
        with self.network.at(machine):
            connection = http.client.HTTPConnection(ADDON, port, timeout=60)
            try:
                connection.request("GET", path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()

    def heard(self, topic: str, count: int) -> list[str]:
        with self.network.at("broker"):
            return self.broker.messages(topic, count)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    data, config, hosts = tmp_path / "data", tmp_path / "config", tmp_path / "hosts"
    for each in (data, config):
        each.mkdir()
    hosts.write_text(HOSTS)
    (data / "options.json").write_text(json.dumps({"node": "demo", "bundle": "digits", "log_level": "info"}))
    (data / "options.json").chmod(0o600)
    addresses = {"supervisor": f"{INGRESS_PROXY}/23", "broker": f"{BROKER}/23", "addon": f"{ADDON}/23"}
    with ExitStack() as stack:
        found = stack.enter_context(network(addresses))
        broker = ShippedBroker(tmp_path, 1883, BROKER)
        with found.at("broker"):
            stack.enter_context(broker.running())
        with found.at("supervisor"):
            home_assistant = stack.enter_context(supervisor(INGRESS_PROXY, 80))
        login = {"username": "demo", "password": ACCOUNTS["demo"]}
        home_assistant.answer = {"result": "ok", "data": {**MQTT, "host": "core-mosquitto", "port": 1883, **login}}
        yield House(found, broker, data, config, hosts)


def test_the_folder_has_what_supervisor_builds_from(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"config.yaml", "Dockerfile", "DOCS.md", "CHANGELOG.md", "translations/en.yaml"} <= names
    manifest = yaml.safe_load((folder / "config.yaml").read_text())
    assert manifest["version"] == __version__
    assert [f"perceptd-{arch}.tar.gz" for arch in manifest["arch"]] == [
        name for name in sorted(names) if name.endswith(".gz")
    ]
    assert "image" not in manifest, "it is built, and not pulled"


def test_the_add_on_tells_the_broker_and_shows_its_page_through_ingress(
    podman: Engine, addon: str, folder: Path, house: House, tmp_path: Path
) -> None:
    manifest = yaml.safe_load((folder / "config.yaml").read_text())
    port = manifest["ingress_port"]
    with house.started(podman, addon, manifest, tmp_path / "log") as container:
        wait_until(lambda: is_healthy(container), "the add-on starts", START_S)
        assert house.heard("perceptd/demo/availability", 1) == ["online"]
        events = [json.loads(each) for each in house.heard("perceptd/demo/main/event", 2)]
        assert {each["label"] for each in events} & set("0123456789"), events
        check_rights(container)

        # through ingress, as the person who has logged in to Home Assistant
        status, page = house.ask("supervisor", port, "/", INGRESS)
        assert status == 200
        assert b"<html" in page
        # each file that the page names is below the path of ingress
        for name in re.findall(rb'(?:src|href)="([^"#]+)"', page):
            assert not name.startswith((b"/", b"http")), name
            assert house.ask("supervisor", port, f"/{name.decode()}", INGRESS)[0] == 200
        status, session = house.ask("supervisor", port, "/api/session", INGRESS)
        assert (status, json.loads(session)["role"]) == (200, "owner")
        # another add-on may say what it likes, and the page asks it for a login
        assert house.ask("broker", port, "/api/session", INGRESS)[0] in (401, 403, 421)
        assert house.ask("broker", port, "/api/session", {"X-Remote-User-Id": "4711"})[0] in (401, 403, 421)
        assert container.stop()[0] == 0
    assert house.heard("perceptd/demo/availability", 1) == ["offline"]
    written = (house.data / "config/config.yaml").read_text()
    assert ACCOUNTS["demo"] not in written + container.printed()
    assert TOKEN not in written + container.printed()
    assert "Traceback" not in container.printed()

    # Supervisor starts it again, with a configuration of the person's own
    (house.config / "perceptd.yaml").write_text(OWN_CONFIG)
    with house.started(podman, addon, manifest, tmp_path / "log-2") as container:
        wait_until(lambda: is_healthy(container), "the add-on starts again", START_S)
        assert json.loads(house.heard("perceptd/demo/door/event", 1)[0])["label"]
        assert container.stop()[0] == 0
    assert "the options of the add-on do not count" in container.printed()


def check_rights(container: Running) -> None:
    """Check that the program has given up root, and that its children do not have Supervisor's token."""
    looking = 'for p in /proc/[0-9]*; do grep -qz "^{}$" $p/cmdline 2>/dev/null && cat $p/{}; done; true'
    # what prepared the node has loaded more, and has become this program
    status = container.run("sh", "-c", looking.format("daemon.cli.container", "status")).stdout
    assert re.search(rf"^Uid:\s{USER}\s{USER}\s{USER}\s{USER}$", status, re.MULTILINE), status
    assert re.search(r"^CapEff:\s0+$", status, re.MULTILINE), status
    # root of a container may not look into the environment of another user
    as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    node = container.run(*as_user, "sh", "-c", looking.format("ru[n]", "environ")).stdout
    assert "/data/state" in node
    assert TOKEN not in node


def test_an_option_that_is_wrong_ends_the_add_on_with_its_name(
    podman: Engine, addon: str, folder: Path, house: House, tmp_path: Path
) -> None:
    (house.data / "options.json").write_text('{"node": "a/b", "bundle": "digits"}')
    manifest = yaml.safe_load((folder / "config.yaml").read_text())
    with house.started(podman, addon, manifest, tmp_path / "log") as container:
        assert container.process.wait(60) == 78
    assert "node" in container.printed()

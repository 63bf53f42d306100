"""The image of perceptd, built and run. Campaign `container`: scripts/test-campaigns container."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from packages.image import build_image
from packages.provenance import sign_image
from packages.source import commit
from packages.targets import TARGETS, Target

from daemon.publisher.public_keys import read_public_keys
from daemon.publisher.verification import verify_file
from tests.helpers.artefacts import release_key
from tests.helpers.cache import DIRECTORY
from tests.helpers.campaign import IS_CAMPAIGN
from tests.helpers.container import Engine, Options, Running, engine
from tests.helpers.mosquitto import wait_until
from tests.helpers.ports import free_port
from tests.helpers.pulse import pulse_server
from tests.helpers.supervisor import MQTT, TOKEN, supervisor

pytestmark = [
    pytest.mark.campaign("container"),
    pytest.mark.skipif(not IS_CAMPAIGN, reason="builds an image: scripts/test-campaigns container"),
    pytest.mark.xdist_group("sound"),
]

CONTAINER = Path(__file__).resolve().parents[2] / "scripts/packages/container"
PAGE = "http://localhost:8099/"
USER = 900
# SIGTERM to the end: what perceptd.service allows
STOP_S = 6.0
# a loaded machine; the container reports itself ready within 90 s, or starts again
START_S = 120.0
ACCOUNTS = {"demo": "secret of the node", "operator": "secret of a person"}


def target() -> Target:
    (found,) = [each for each in TARGETS if each.debian == 13 and each.machine == os.uname().machine]
    return found


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("image")
    began = time.monotonic()
    built = build_image(target(), out, DIRECTORY / "wheels")
    print(f"the image took {time.monotonic() - began:.0f} s, its archive has {built.stat().st_size >> 20} MB")
    return built


@pytest.fixture(scope="module")
def podman(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Whatever runs images here; without podman the run says so and goes on with systemd-nspawn."""
    with engine(tmp_path_factory.mktemp("engine"), archive) as (found, problem):
        if problem is not None:
            print(f"NOT RUN BY PODMAN, but by systemd-nspawn in the unpacked image: {problem}")
        yield found


@pytest.fixture(scope="module")
def image(podman: Engine, archive: Path) -> str:
    return podman.load(archive)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume of the user of the image, as an engine makes a named one."""
    made = tmp_path / "volume"
    for path in (made, made / "config", made / "state"):
        path.mkdir()
        os.chown(path, USER, USER)
    return made


class Broker:
    """mosquitto with the files that are shipped, on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.directory = directory / "mosquitto"
        shutil.copytree(CONTAINER / "mosquitto", self.directory)
        passwords = self.directory / "perceptd.passwords"
        passwords.touch()
        for account in ACCOUNTS.items():
            subprocess.run(["mosquitto_passwd", "-b", passwords, *account], check=True, capture_output=True)
        config = self.directory / "mosquitto.conf"
        text = config.read_text().replace("/mosquitto/config", str(self.directory))
        text = text.replace("/mosquitto/data", str(self.directory)).replace("listener 1883", f"listener {self.port}")
        config.write_text(f"{text}user root\n")

    @contextmanager
    def running(self) -> Iterator["Broker"]:
        with subprocess.Popen(
            ["mosquitto", "-c", self.directory / "mosquitto.conf"], stderr=subprocess.DEVNULL
        ) as process:
            try:
                wait_until(self._listens, "mosquitto listens")
                yield self
            finally:
                process.kill()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def messages(self, topic: str, count: int) -> list[str]:
        """Wait for so many messages, read with the account of a person."""
        login = ["-u", "operator", "-P", ACCOUNTS["operator"]]
        command = ["mosquitto_sub", "-p", str(self.port), *login, "-t", topic, "-C", str(count), "-W", "60"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, f"{topic}: {done.stderr}"
        return done.stdout.splitlines()

    def configure(self, volume: Path, **more: object) -> None:
        """Write the login into the config of a volume, as docs/container.md says."""
        config = volume / "config/config.yaml"
        content = yaml.safe_load(config.read_text())
        content["mqtt"] |= {
            "host": "127.0.0.1",
            "port": self.port,
            "username": "demo",
            "password_file": "mqtt-password",
        }
        content |= more
        config.write_text(yaml.safe_dump(content))
        password = volume / "config/mqtt-password"
        password.write_text(ACCOUNTS["demo"])
        password.chmod(0o600)
        os.chown(password, USER, USER)


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def is_healthy(container: Running) -> bool:
    assert container.process.poll() is None, f"the container has ended: {container.printed()[-2000:]}"
    command = ("/opt/perceptd/.venv/bin/python3", "-m", "daemon.cli.container", "health")
    return container.run(*command, check=False).returncode == 0


def test_two_builds_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    again = build_image(target(), tmp_path, DIRECTORY / "wheels")
    assert again.read_bytes() == archive.read_bytes()


def test_a_signed_image_is_followed_back_to_its_commit(archive: Path, tmp_path: Path) -> None:
    private, public = release_key(tmp_path)
    sign_image(archive, target(), private)
    found = verify_file(archive, read_public_keys(public), None, commit())
    assert {"av", "numpy"} <= {each.name for each in found.components}


def test_the_image_says_what_it_is(podman: Engine, image: str) -> None:
    found = podman.configuration(image)
    assert found["User"] == f"{USER}:{USER}"
    assert list(found["Volumes"]) == ["/data"]
    assert list(found["ExposedPorts"]) == ["8099/tcp"]
    assert found["Healthcheck"]["Test"][-2:] == ["daemon.cli.container", "health"]


def test_it_recognises_tells_the_broker_shows_the_page_reloads_and_stops_in_time(
    podman: Engine, image: str, volume: Path, tmp_path: Path
) -> None:
    with Broker(tmp_path).running() as broker, podman.running(image, volume, tmp_path / "log", Options()) as container:
        wait_until(lambda: is_healthy(container), "the demo recording plays", START_S)
        assert "config.yaml was missing" in container.printed()
        # the login comes by a reload, and the events that waited come too
        broker.configure(volume)
        container.send(signal.SIGHUP)
        assert broker.messages("perceptd/demo/availability", 1) == ["online"]
        events = [json.loads(each) for each in broker.messages("perceptd/demo/demo/event", 2)]
        assert {each["label"] for each in events} & set("0123456789"), events
        # the page
        assert status_of(f"{PAGE}api/session") == 401
        link = container.run("perceptd", "page", "--link").stdout.strip()
        assert link.startswith(f"{PAGE}link/")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(link, timeout=20) as answer:
            assert answer.status == 200
        with opener.open(f"{PAGE}api/session", timeout=20) as answer:
            assert json.load(answer)["role"] == "owner"
        # not root, and nothing to write to but the volume
        assert container.run("id", "-u").stdout.strip() == str(USER)
        assert "Read-only file system" in container.run("touch", "/opt/perceptd/x", check=False).stderr
        assert re.search(r"^CapEff:\s0+$", container.run("cat", "/proc/1/status").stdout, re.MULTILINE)
        assert container.run("perceptd", "check-config").returncode == 0
        code, seconds = container.stop()
        print(f"stopped in {seconds:.1f} s by {podman.name}")
        assert code == 0
        assert seconds < STOP_S
    assert "Traceback" not in container.printed()


def test_a_new_image_goes_on_with_the_volume_of_the_old_one(
    podman: Engine, image: str, volume: Path, tmp_path: Path
) -> None:
    with podman.running(image, volume, tmp_path / "log", Options()) as container:
        wait_until(lambda: is_healthy(container), "the demo recording plays", START_S)
        container.run("perceptd", "page", "--set-password", check=False)
        before = container.run("cat", "/data/state/device_id").stdout
        assert container.stop()[0] == 0
    config = (volume / "config/config.yaml").read_text()
    with Broker(tmp_path).running() as broker:
        broker.configure(volume)
        # events that the first container could not send
        with podman.running(image, volume, tmp_path / "log2", Options()) as container:
            wait_until(lambda: is_healthy(container), "the demo recording plays again", START_S)
            assert container.run("cat", "/data/state/device_id").stdout == before
            assert "config.yaml was missing" not in container.printed()
            assert broker.messages("perceptd/demo/demo/event", 2)
    assert "digits" in config


def test_a_config_that_cannot_be_used_ends_the_container(
    podman: Engine, image: str, volume: Path, tmp_path: Path
) -> None:
    (volume / "config/config.yaml").write_text("node: demo\nbundel: x\n")
    with podman.running(image, volume, tmp_path / "log", Options()) as container:
        assert container.process.wait(60) == 78
    assert "bundel" in container.printed()


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_volume_of_somebody_else_is_named(podman: Engine, image: str, tmp_path: Path, mode: int) -> None:
    volume = tmp_path / "volume"
    (volume / "config").mkdir(parents=True)
    volume.chmod(mode)
    with podman.running(image, volume, tmp_path / "log", Options()) as container:
        assert container.process.wait(60) == 78
    assert f"The volume /data must belong to user {USER}" in container.printed()


def test_it_hears_the_sound_server_of_a_user(podman: Engine, image: str, volume: Path, tmp_path: Path) -> None:
    sound = tmp_path / "sound"
    sound.mkdir()
    sound.chmod(0o755)
    with pulse_server(sound) as server, server.playing(440.0):
        config = {"node": "demo", "bundle": "/opt/perceptd/models/digits"}
        config |= {"streams": {"room": {"microphone": {"device": "pulse"}}}}
        (volume / "config/config.yaml").write_text(yaml.safe_dump(config))
        given = Options({"PULSE_SERVER": "unix:/run/pulse/native"}, {"/run/pulse/native": sound / "native"})
        with podman.running(image, volume, tmp_path / "log", given) as container:
            wait_until(lambda: is_healthy(container), "the node starts", START_S)
            assert "pulse" in container.run("perceptd", "devices").stdout
            wait_until(lambda: "room/microphone: delivers" in container.printed(), "blocks come from the sound server")
            assert container.stop()[0] == 0


def test_the_add_on_takes_its_broker_from_supervisor_and_gives_up_root(
    podman: Engine, image: str, tmp_path: Path
) -> None:
    volume = tmp_path / "addon"
    volume.mkdir()
    options = {"node": "demo", "bundle": "digits", "log_level": "info"}
    (volume / "options.json").write_text(json.dumps(options))
    (volume / "options.json").chmod(0o600)
    with Broker(tmp_path).running() as broker, supervisor() as home_assistant:
        home_assistant.answer = {
            "result": "ok",
            "data": MQTT | {"host": "127.0.0.1", "port": broker.port, "username": "demo", "password": ACCOUNTS["demo"]},
        }
        code = f"import daemon.cli.addon as a, sys; sys.exit(a.main(supervisor={home_assistant.url!r}))"
        command = ("/opt/perceptd/.venv/bin/python3", "-c", code)
        # as Supervisor starts it: root, with the usual capabilities, a root that can be written, a volume of root's
        given = Options({"SUPERVISOR_TOKEN": TOKEN}, user="0:0", is_read_only=False, command=command)
        with podman.running(image, volume, tmp_path / "log", given) as container:
            assert broker.messages("perceptd/demo/availability", 1) == ["online"]
            told = container.run("cat", "/proc/1/status").stdout
            assert re.search(rf"^Uid:\s{USER}\s{USER}\s{USER}\s{USER}$", told, re.MULTILINE)
            # the token of Supervisor is for the first program alone
            looking = 'for p in /proc/[0-9]*; do grep -qz "^ru[n]$" $p/cmdline && cat $p/environ; done; true'
            as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
            node = container.run(*as_user, "sh", "-c", looking).stdout
            assert "/data/state" in node
            assert TOKEN not in node
            ingress = {"X-Ingress-Path": "/api/hassio_ingress/k", "X-Remote-User-Id": "4711"}
            # this machine is no proxy of Home Assistant: it must log in
            request = urllib.request.Request(f"{PAGE}api/session", headers=ingress)
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                urllib.request.urlopen(request, timeout=20)
            refused.value.close()
            assert container.stop()[0] == 0
    written = (volume / "config/config.yaml").read_text()
    assert ACCOUNTS["demo"] not in written + container.printed()

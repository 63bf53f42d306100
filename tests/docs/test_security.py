"""The access control list of docs/security.md in a real broker allows what the page describes, and nothing else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, block
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, wait_until

ACCOUNTS = ("hall", "yard", "homeassistant", "operator", "viewer", "frontdesk")
STREAM = {"replay": {"file": str(ROOT / "models/digits/demo/clip.mp4")}}

# how long to wait for a message that must not come
NOT_READ_S = 2


class Site:
    """A broker with the page's accounts, and the connected node `hall`."""

    def __init__(self, broker: Mosquitto, daemon: DaemonProcess, directory: Path) -> None:
        self.broker, self.daemon, self._directory = broker, daemon, directory

    def may_write(self, account: str, topic: str, payload: str = "{}") -> bool:
        """Publish; return whether the broker has accepted the message."""
        command = ("mosquitto_pub", *self.login(account), "-V", "5", "-q", "1", "-t", topic, "-m", payload)
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return "Not authorized" not in done.stderr

    def hears(self, account: str, topic: str, within_s: int = 10) -> str:
        """Return the first message under a topic, or an empty string."""
        command = ("mosquitto_sub", *self.login(account), "-t", topic, "-C", "1", "-W", str(within_s))
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout

    def perceptd(self, account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command with the config that the page gives to people."""
        text = (
            block("security.md", "# me.yaml").replace("tls: {}", "").replace("port: 8883", f"port: {self.broker.port}")
        )
        text = text.replace("broker.example.org", "127.0.0.1").replace("operator", account)
        (self._directory / f"{account}.password").write_text(f"{account}-secret\n")
        path = self._directory / f"{account}.yaml"
        path.write_text(text)
        command = (sys.executable, "-m", "daemon", *arguments, "--config", str(path))
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    def login(self, account: str) -> tuple[str, ...]:
        """Return the options of mosquitto's programs for an account."""
        return ("-h", "127.0.0.1", "-p", str(self.broker.port), "-u", account, "-P", f"{account}-secret")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    acl, passwords = directory / "acl", directory / "passwords"
    acl.write_text(block("security.md", "# /etc/mosquitto/perceptd.acl"))
    passwords.touch()
    for account in ACCOUNTS:
        subprocess.run(("mosquitto_passwd", "-b", passwords, account, f"{account}-secret"), check=True)
    with Mosquitto(more=[f"acl_file {acl}", f"password_file {passwords}"]) as broker:
        mqtt = {"port": broker.port, "username": "hall", "password": "hall-secret"}
        config = {
            "node": "hall",
            "bundle": str(ROOT / "models/digits"),
            "mqtt": mqtt,
            "streams": {"door": STREAM},
        }
        with DaemonProcess(config, directory) as daemon:
            running = Site(broker, daemon, directory)
            wait_until(lambda: "connected to the MQTT broker" in daemon.log, "the node connects", 30)
            yield running


def test_the_broker_refuses_no_message_of_the_node(site: Site) -> None:
    for kind in ("availability", "health", "models", "door/state", "door/recognition", "door/event"):
        assert site.hears("viewer", f"perceptd/hall/{kind}"), kind
    assert "perceptd hall" in site.hears("homeassistant", "homeassistant/device/perceptd_hall/config")
    assert "refused" not in site.daemon.log


def test_home_assistant_and_an_operator_may_send_commands(site: Site) -> None:
    assert site.may_write("homeassistant", "homeassistant/status", "online")
    assert site.may_write("homeassistant", "perceptd/hall/command/log_level", '{"level": "info"}')
    wait_until(lambda: "command log_level: done" in site.daemon.log, "the command is obeyed")
    done = site.perceptd("operator", "send", "describe")
    assert (done.returncode, "digits@" in done.stdout) == (0, True), done.stderr
    assert site.perceptd("operator", "models", "list").returncode == 0


def test_only_the_text_account_may_publish_text_and_only_to_its_stream(site: Site) -> None:
    assert site.may_write("frontdesk", "perceptd/hall/door/text", "room seven")
    for account in ("frontdesk", "viewer", "yard"):
        assert not site.may_write(account, "perceptd/hall/side/text", "room seven")


@pytest.mark.parametrize(
    ("account", "topic"),
    [
        ("viewer", "perceptd/hall/command/pause"),
        ("frontdesk", "perceptd/hall/command/pause"),
        ("yard", "perceptd/hall/command/pause"),
        ("yard", "perceptd/hall/door/event"),
        ("yard", "homeassistant/device/perceptd_hall/config"),
        ("hall", "homeassistant/device/perceptd_yard/config"),
        ("homeassistant", "perceptd/hall/health"),
        ("operator", "perceptd/hall/door/event"),
        ("viewer", "homeassistant/device/perceptd_hall/config"),
        ("viewer", "perceptd-send/1"),
    ],
)
def test_an_account_may_not_publish_to_topics_of_others(site: Site, account: str, topic: str) -> None:
    assert not site.may_write(account, topic)


@pytest.mark.parametrize(
    ("account", "topic"), [("frontdesk", "perceptd/#"), ("yard", "perceptd/hall/#"), ("viewer", "homeassistant/#")]
)
def test_an_account_may_not_read_topics_of_others(site: Site, account: str, topic: str) -> None:
    assert site.hears(account, topic, NOT_READ_S) == ""


def test_a_viewer_receives_no_text(site: Site) -> None:
    command = ("mosquitto_sub", *site.login("viewer"), "-t", "perceptd/hall/door/text", "-C", "1", "-W", "3")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as subscriber:
        time.sleep(1)
        assert site.may_write("frontdesk", "perceptd/hall/door/text", "room two")
        assert subscriber.communicate(timeout=10)[0] == ""


def test_a_viewer_may_not_send_commands(site: Site) -> None:
    assert site.perceptd("viewer", "send", "pause").returncode == 1
    assert "command pause" not in site.daemon.log

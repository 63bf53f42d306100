"""The access control list of docs/security.md in a real broker allows what the page describes, and nothing else."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.followers import ModelsFollower
from daemon.mqtt.requests import NoAnswer, send_request
from daemon.mqtt.subscriber import topic_filters, watch
from tests.docs.pages import ROOT, block
from tests.helpers.daemon import DaemonProcess
from tests.helpers.mosquitto import Mosquitto, wait_until

ACCOUNTS = ("hall", "yard", "homeassistant", "operator", "fleet", "viewer", "frontdesk", "teacher", "sender", "deaf")
STREAM = {"replay": {"file": str(ROOT / "models/digits/demo/clip.mp4")}}

# two accounts that the page does not have: `sender` has what its table says for `perceptd send` and no more, `deaf`
# may not read its answers
MORE = """
user sender
topic read perceptd/hall/availability
topic read perceptd-send/+
topic write perceptd/hall/command/+

user deaf
topic read perceptd/hall/availability
topic write perceptd/hall/command/+
"""

# how long to wait for a message that must not come
NOT_READ_S = 2

# how long to wait for an answer that must not come; a running node answers at once
ANSWER_S = 2.0


class Site:
    """A broker with the page's accounts, and the connected node `hall`."""

    def __init__(self, broker: Mosquitto, daemon: DaemonProcess, directory: Path) -> None:
        self.broker, self.daemon, self._directory = broker, daemon, directory

    def may_write(self, account: str, topic: str, payload: str = "{}") -> bool:
        """Publish; return whether the broker has accepted the message."""
        command = ("mosquitto_pub", *self.login(account), "-V", "5", "-q", "1", "-t", topic, "-m", payload)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return "Not authorized" not in done.stderr

    def hears(self, account: str, topic: str, within_s: int = 10) -> str:
        """Return the first message under a topic, or an empty string."""
        command = ("mosquitto_sub", *self.login(account), "-t", topic, "-C", "1", "-W", str(within_s))
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

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
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    def config(self, account: str) -> MqttConfig:
        """Return the config of a client with an account."""
        return MqttConfig(port=self.broker.port, username=account, password=SecretStr(f"{account}-secret"))

    def login(self, account: str) -> tuple[str, ...]:
        """Return the options of mosquitto's programs for an account."""
        return ("-h", "127.0.0.1", "-p", str(self.broker.port), "-u", account, "-P", f"{account}-secret")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    acl, passwords = directory / "acl", directory / "passwords"
    acl.write_text(block("security.md", "# /etc/mosquitto/perceptd.acl") + block("security.md", "user teacher") + MORE)
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
            wait_until(lambda: "connected to the MQTT broker" in daemon.log, "the node connects")
            yield running


def test_the_broker_refuses_no_message_of_the_node(site: Site) -> None:
    for kind in ("availability", "health", "models", "door/state", "door/recognition", "door/event"):
        assert site.hears("viewer", f"perceptd/hall/{kind}"), kind
    assert "perceptd hall" in site.hears("homeassistant", "homeassistant/device/perceptd_hall/config")
    assert "refused" not in site.daemon.log


@pytest.mark.parametrize(
    "topic",
    [
        "perceptd/hall/status",
        "homeassistant/device/perceptd_hall_door/config",
        "homeassistant/sensor/perceptd_hall/door_label/config",
        "perceptd-send/1",
    ],
)
def test_a_node_may_publish_every_topic(site: Site, topic: str) -> None:
    assert site.may_write("hall", topic)


@pytest.mark.parametrize("kind", ["availability", "health", "models", "status", "door/state", "door/event"])
def test_the_reader_of_a_fleet_reads_and_may_not_write(site: Site, kind: str) -> None:
    assert site.may_write("hall", "perceptd/hall/status")
    topic = f"perceptd/hall/{kind}"
    if kind != "status":
        assert site.hears("fleet", topic)
    assert not site.may_write("fleet", topic)


def test_home_assistant_and_an_operator_may_send_commands(site: Site) -> None:
    assert site.may_write("homeassistant", "homeassistant/status", "online")
    assert site.may_write("homeassistant", "perceptd/hall/command/log_level", '{"level": "info"}')
    wait_until(lambda: "command log_level: done" in site.daemon.log, "the command is obeyed")
    done = site.perceptd("operator", "send", "describe")
    assert (done.returncode, "digits@" in done.stdout) == (0, True), done.stderr
    assert site.perceptd("operator", "models", "list").returncode == 0
    assert site.perceptd("sender", "send", "describe").returncode == 0


def test_only_the_text_account_may_publish_text_and_only_to_its_stream(site: Site) -> None:
    assert site.may_write("frontdesk", "perceptd/hall/door/text", "room seven")
    for account in ("frontdesk", "viewer", "yard"):
        assert not site.may_write(account, "perceptd/hall/side/text", "room seven")


def test_the_account_of_a_teacher_may_teach_and_give_no_other_command(site: Site) -> None:
    for command in ("teach_list", "teach_report", "teach_wrong"):
        assert site.may_write("teacher", f"perceptd/hall/command/{command}")
    for topic in ("perceptd/hall/command/pause", "perceptd/hall/command/teach_forget", "perceptd/hall/teaching"):
        assert not site.may_write("teacher", topic)


@pytest.mark.parametrize(
    ("account", "topic"),
    [
        ("viewer", "perceptd/hall/command/pause"),
        ("frontdesk", "perceptd/hall/command/pause"),
        ("yard", "perceptd/hall/command/pause"),
        ("yard", "perceptd/hall/door/event"),
        ("yard", "homeassistant/device/perceptd_hall/config"),
        ("fleet", "perceptd/hall/command/pause"),
        ("fleet", "homeassistant/device/perceptd_hall/config"),
        ("sender", "perceptd/yard/command/pause"),
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
        assert subscriber.communicate(timeout=60)[0] == ""


def test_a_refused_command_names_the_missing_line(site: Site) -> None:
    refused = site.perceptd("viewer", "send", "pause")
    assert refused.returncode == 1
    assert (
        "the MQTT broker refused perceptd/hall/command/pause: Not authorized; the account viewer may not publish to "
        "perceptd/hall/command/pause: add `topic write perceptd/hall/command/+` below `user viewer` in the broker's "
        "access list\n"
    ) in refused.stderr
    assert "command pause" not in site.daemon.log


def test_an_answer_that_the_broker_drops_names_the_lines_that_may_be_missing(site: Site) -> None:
    with pytest.raises(NoAnswer) as caught:
        send_request(site.config("deaf"), "hall", "describe", b"{}", ANSWER_S)
    assert f"no answer from node hall at 127.0.0.1:{site.broker.port} in {ANSWER_S:g} s; the node is online" in (
        text := str(caught.value)
    )
    assert "the account deaf needs `topic write perceptd/hall/command/+`, `topic read perceptd-send/+`" in text


def test_a_reader_that_hears_nothing_is_told_the_lines_that_may_be_missing(site: Site) -> None:
    with ModelsFollower(site.config("deaf"), "hall") as follower, pytest.raises(NoAnswer) as caught:
        follower.first(ANSWER_S)
    assert str(caught.value).endswith(
        "; either no node has published there, or the account deaf needs `topic read perceptd/hall/status`, "
        "`topic read perceptd/hall/health`, `topic read perceptd/hall/models` in the broker's access list"
    )


def test_watching_in_silence_names_the_lines_that_may_be_missing(site: Site) -> None:
    found, stop = list[str](), threading.Event()

    def report_silence(filters: list[str]) -> None:
        found.extend(filters)
        stop.set()

    watch(site.config("frontdesk"), "hall", emit=print, stop=stop, report_silence=report_silence, silence_s=ANSWER_S)
    assert found == topic_filters("hall")

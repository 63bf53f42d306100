"""A real, private mosquitto on a free loopback port, and an independent subscriber to it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.helpers.ports import free_port

# the settings in docs/mqtt.md with which mosquitto loses the fewest messages
PERSISTENCE = ["persistence true", "autosave_on_changes true", "autosave_interval 1"]

START_S = 30.0
WAIT_S = 60.0
"""Where nothing is promised of the time; only a failure takes so long, however busy the machine is."""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = WAIT_S) -> None:
    """Poll until the condition holds; fail with `what` when it does not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(0.01)


def _tool(name: str) -> str:
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is not installed: apt-get install mosquitto mosquitto-clients"
    return found


class Mosquitto:
    """A broker that loses its messages when it is killed, unless it `persists`. A context manager."""

    def __init__(
        self, login: tuple[str, str] | None = None, *, persists: bool = False, more: Sequence[str] = ()
    ) -> None:
        """`more` are further lines of mosquitto.conf."""
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="mosquitto-"))
        self._config = self._directory / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"listener {self.port} 127.0.0.1", *more, "user root", "max_queued_messages 0"]
        lines += PERSISTENCE if persists else ["persistence false"]
        lines.append(f"persistence_location {self._directory}/")
        if login is None:
            lines.append("allow_anonymous true")
        else:
            passwords = self._directory / "passwords"
            subprocess.run([_tool("mosquitto_passwd"), "-c", "-b", passwords, *login], check=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        self._config.write_text("\n".join(lines) + "\n")

    def __enter__(self) -> "Mosquitto":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start the broker, and wait until it accepts connections."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([_tool("mosquitto"), "-c", self._config], stdout=log, stderr=log)
        wait_until(self._listens, f"mosquitto on port {self.port}", START_S)

    def kill(self) -> None:
        """Kill the broker by SIGKILL, frozen or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill the broker and start it again on the same port."""
        self.kill()
        self.start()

    def reload(self) -> None:
        """Make the broker read its access list and passwords again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Stop the process: its sockets stay open and it does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process continue."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish by mosquitto_pub."""
        content = "-s" if payload else "-n"
        command = [_tool("mosquitto_pub"), "-p", str(self.port), "-t", topic, "-q", "1", content]
        subprocess.run(command + (["-r"] if retain else []), input=payload, check=True, timeout=WAIT_S)

    def _listens(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self._directory / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@dataclass(frozen=True)
class Heard:
    """A message as a subscriber received it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Subscriber:
    """Receives everything under a filter, and subscribes again when the broker is back. A context manager.

    With `keeps_session` it also receives what was published while it was disconnected, if the broker stored it.
    """

    def __init__(self, broker: Mosquitto, topic_filter: str = "#", *, keeps_session: bool = False) -> None:
        self.heard: list[Heard] = []
        self._filter = topic_filter
        self._subscribed = threading.Event()
        name = f"subscriber-{uuid.uuid4().hex[:8]}"
        self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda *_: self._client.subscribe(topic_filter, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600 if keeps_session else 0
        self._client.connect_async("127.0.0.1", broker.port, clean_start=not keeps_session, properties=properties)

    def __enter__(self) -> "Subscriber":
        self._client.loop_start()
        self.wait_subscribed()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_subscribed(self) -> None:
        """Wait until the broker has accepted the subscription."""
        assert self._subscribed.wait(WAIT_S), f"no subscription to {self._filter}"

    def payloads(self, topic: str) -> list[bytes]:
        """Return the payloads received under a topic, in order."""
        return [message.payload for message in self.heard.copy() if message.topic == topic]

    def wait_for(self, topic: str, count: int = 1) -> list[bytes]:
        """Wait for `count` payloads under a topic; return them all."""
        wait_until(lambda: len(self.payloads(topic)) >= count, f"{count} messages on {topic}")
        return self.payloads(topic)

    def wait_offline(self, node: str) -> None:
        """Wait for the last message of a node that ends: everything that it has published is here then."""
        topic = f"perceptd/{node}/availability"
        wait_until(lambda: self.payloads(topic)[-1:] == [b"offline"], f"{node} is offline")

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.qos, message.retain))

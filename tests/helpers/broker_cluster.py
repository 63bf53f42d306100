"""Three MQTT brokers that form a cluster on loopback, and a subscriber that moves from one to another."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.helpers.mosquitto import WAIT_S, Heard, wait_until
from tests.helpers.ports import free_port

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
START_S = 120.0

# CONNECT of MQTT 3.1.1 with a clean session, and the answer of a broker that accepts it
CONNECT, ACCEPTED = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05probe", b"\x20\x02\x00\x00"


class BrokerCluster(ABC):
    """Listens on one port of all addresses in ADDRESSES. A context manager, which starts and kills all three nodes."""

    def __init__(self, parent: Path | None = None) -> None:
        """`parent` is where the nodes store their data, in a directory that is removed at the end."""
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="cluster-", dir=parent))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "BrokerCluster":
        try:
            self.mend()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for address in list(self._processes):
            self.kill(address)
        shutil.rmtree(self.directory)

    def mend(self) -> None:
        """Start every node that does not run, with its data, and wait until each accepts logins and is current."""
        for number, address in enumerate(ADDRESSES, 1):
            if address not in self._processes:
                with self.log(address).open("ab") as log:
                    # a session of its own: the processes that a node starts are killed with it
                    self._processes[address] = subprocess.Popen(
                        self.command(number),
                        env=self.environment(number),
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
        try:
            wait_until(self._is_whole, "three nodes that form a cluster", START_S)
        except AssertionError:
            print(*(f"{address}:\n{self.log(address).read_text()[-3000:]}" for address in ADDRESSES), sep="\n")
            raise

    def kill(self, address: str) -> None:
        """Kill the node of an address by SIGKILL."""
        process = self._processes.pop(address)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def log(self, address: str) -> Path:
        """Return the file that has what the node of an address prints."""
        return self.directory / f"{address}.log"

    @abstractmethod
    def command(self, number: int) -> list[str]:
        """Return the command that runs a node in the foreground; nodes are counted from 1."""

    def environment(self, number: int) -> dict[str, str]:
        """Return the environment of that command."""
        return dict(os.environ)

    def is_current(self, number: int) -> bool:
        """Return whether a node that accepts logins has all that it missed while it was away."""
        return True

    def _is_whole(self) -> bool:
        for number, address in enumerate(ADDRESSES, 1):
            assert self._processes[address].poll() is None, f"the node at {address} has ended"
            if not (_accepts_login(address, self.port) and self.is_current(number)):
                time.sleep(0.1)
                return False
        return True


class ClusterReader:
    """Receives everything under a filter with QoS 1 in a session that lasts. A context manager.

    It speaks MQTT 3.1.1, begins at the last node, and moves on to the next one whenever its connection ends.
    """

    def __init__(self, cluster: BrokerCluster, topic_filter: str) -> None:
        self.heard: list[Heard] = []
        self._port, self._filter = cluster.port, topic_filter
        self._addresses = cycle(reversed(ADDRESSES))
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, "cluster-reader", clean_session=False, protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.on_connect = lambda *_: self._client.subscribe(topic_filter, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = self._move_on
        self._client.on_connect_fail = self._move_on
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._move_on()

    def __enter__(self) -> "ClusterReader":
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S), f"no subscription to {self._filter}"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()

    def payloads(self, topic: str) -> list[bytes]:
        """Return the payloads received under a topic, in order."""
        return [message.payload for message in self.heard.copy() if message.topic == topic]

    def _move_on(self, *_: object) -> None:
        self._client.connect_async(next(self._addresses), self._port, keepalive=10)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, bytes(message.payload), message.qos, message.retain))


def replaced(text: str, replacements: Mapping[str, str]) -> str:
    """Return the text with every key replaced by its value. Fails where one does not occur."""
    for old, new in replacements.items():
        assert old in text, f"{old} does not occur in:\n{text}"
        text = text.replace(old, new)
    return text


def _accepts_login(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2.0) as connection:
            connection.sendall(CONNECT)
            return connection.recv(len(ACCEPTED)) == ACCEPTED
    except OSError:
        return False

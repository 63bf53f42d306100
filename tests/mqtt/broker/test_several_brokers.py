"""Several brokers, and several addresses of one name: whatever the first does, the next is used."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.mqtt.broker.callbacks import MqttCallbacks
from daemon.mqtt.broker.connection import Connection
from daemon.mqtt.broker.credentials import endpoint_of
from daemon.mqtt.broker.waker import Waker
from daemon.mqtt.requests import NoAnswer, send_request, try_broker
from daemon.mqtt.session import Session
from daemon.runtime.heartbeat import Heartbeat
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import Mosquitto, wait_until
from tests.helpers.raw_broker import CONNECT, PUBLISH, Always, RawBroker, connack, disconnect
from tests.mqtt.broker.test_hostile_brokers import EVENT, GOOD_LOGIN, SHORT, After
from tests.mqtt.records import event

FIRST, SECOND = "127.0.0.1", "127.0.0.2"


@contextmanager
def two_brokers() -> Iterator[tuple[RawBroker, RawBroker]]:
    with RawBroker() as first, RawBroker(host=SECOND, port=first.port) as second:
        yield first, second


@contextmanager
def session(port: int, state: Path, connack_s: float = 10.0) -> Iterator[Session]:
    waits = replace(SHORT, connack_s=connack_s, puback_s=10.0)
    ours = Session(MqttConfig(port=port, host=[FIRST, SECOND]), "node", state, waits)
    ours.start({})
    try:
        yield ours
    finally:
        ours.stop(1.0)


@pytest.mark.parametrize(
    "answer",
    [Always(b""), Always(None), Always(b"garbage"), Always(connack(0x88)), Always(connack(0x9C))],
    ids=["silent", "closes", "garbage", "unavailable", "use another server"],
)
def test_the_second_broker_is_used_whatever_the_first_does_before_the_login(answer: Always, tmp_path: Path) -> None:
    with two_brokers() as (first, second):
        first.behave(CONNECT=answer)
        with session(first.port, tmp_path, connack_s=0.3) as ours:
            ours.publish_event("front/event", event(1))
            wait_until(lambda: second.got(PUBLISH, EVENT), "an event at the second broker")
            assert second.got(CONNECT)[0].is_5, "the first broker's silence does not change the version"
            assert f"{FIRST}:{first.port}" in str(ours.status()["reason"])


def test_a_broker_that_was_lost_is_tried_first_and_then_the_other(tmp_path: Path) -> None:
    with two_brokers() as (first, second), session(first.port, tmp_path) as ours:
        wait_until(lambda: ours.status()["published"] == 1, "online at the first broker")
        steady = threading.Event()
        steady.wait(SHORT.steady_s * 1.5)
        first.cut()
        wait_until(lambda: first.connections == 2 and ours.connected, "the first broker again")
        assert second.connections == 0
        first.behave(CONNECT=Always(None))
        first.cut()
        wait_until(lambda: second.connections == 1 and ours.connected, "the second broker")


@pytest.mark.parametrize("code", [0x8B, 0x9C, 0x9D])
def test_a_broker_that_sends_the_node_away_is_left(code: int, tmp_path: Path) -> None:
    with two_brokers() as (first, second):
        first.behave(CONNECT=After(GOOD_LOGIN, disconnect(code)))
        with session(first.port, tmp_path) as ours:
            ours.publish_event("front/event", event(1))
            wait_until(lambda: second.got(PUBLISH, EVENT), "an event at the second broker")


class Names:
    """A resolver that gives both addresses for every name."""

    def __call__(self, host: str, port: int) -> list[str]:
        return [FIRST, SECOND]


class Connected(MqttCallbacks):
    """Ends the connection when it is up."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.connection: Connection | None = None

    def on_connected(self) -> None:
        self.stop.set()

    def on_turn(self) -> None:
        if self.stop.is_set() and self.connection is not None:
            self.connection.disconnect()


def test_the_second_address_of_a_name_is_used_while_the_first_is_silent() -> None:
    with two_brokers() as (first, _):
        first.behave(CONNECT=Always(b""))
        owner, endpoint = Connected(), endpoint_of(MqttConfig(host="broker.example", port=first.port), "client")
        owner.connection = Connection(endpoint, owner, Waker(), Heartbeat("mqtt"), SHORT, Names())
        owner.connection.run(owner.stop)
        assert str(owner.connection.address) == f"broker.example:{first.port} ({SECOND})"
        assert f"at broker.example:{first.port} ({FIRST}) did not answer" in str(owner.connection.troubles[0])


def test_tls_verifies_the_name_though_an_address_is_dialled(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("named", "broker.example")
    lines = [f"cafile {authority.ca_file}", f"certfile {certificate}", f"keyfile {key}"]
    with Mosquitto(more=lines) as broker:
        for host, is_right in (("broker.example", True), ("other.example", False)):
            tls = TlsConfig(ca_file=str(authority.ca_file))
            owner = Connected()
            endpoint = endpoint_of(MqttConfig(host=host, port=broker.port, tls=tls), "client")
            owner.connection = Connection(endpoint, owner, Waker(), Heartbeat("mqtt"), SHORT, Names())
            thread = threading.Thread(target=owner.connection.run, args=(owner.stop,))
            thread.start()
            wait_until(lambda owner=owner: owner.stop.is_set() or owner.connection.troubles, "a result")
            assert owner.stop.is_set() is is_right
            if not is_right:
                assert "its certificate cannot be trusted" in str(owner.connection.troubles[0])
            owner.stop.set()
            thread.join()


def test_commands_for_people_use_the_same_list() -> None:
    with RawBroker(host=SECOND) as second:
        config = MqttConfig(host=[FIRST, SECOND], port=second.port)
        assert try_broker(config) == []
        with pytest.raises(NoAnswer, match="there is no node node at this broker, or"):
            send_request(config, "node", "describe", b"{}", 0.5)
        assert second.got(PUBLISH, "perceptd/node/command/describe")

"""Brokers of this machine and those that announce themselves, with and without a login."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.mqtt.broker.peer import wants_login
from daemon.setup.brokers import (
    BROKER,
    HOME_ASSISTANT,
    SECURE_BROKER,
    Announcement,
    Place,
    brokers,
    places_of,
)
from daemon.setup.found import FoundBroker
from tests.helpers.certificates import self_signed
from tests.helpers.mosquitto import Mosquitto


def test_a_broker_of_this_machine_is_found_without_the_network() -> None:
    with Mosquitto() as broker:
        found = brokers(60.0, network=False, port=broker.port)
    assert found == [FoundBroker("127.0.0.1", broker.port, "localhost", needs_login=False)]
    assert brokers(60.0, network=False, port=broker.port) == []


@pytest.mark.parametrize(
    ("kind", "server", "addresses", "port", "expected"),
    [
        (BROKER, "hub.local.", ("10.0.0.2",), 1884, Place("hub.local", 1884, "mdns", False, ("10.0.0.2",))),
        (SECURE_BROKER, "hub.local.", (), 8883, Place("hub.local", 8883, "mdns", True)),
        (
            HOME_ASSISTANT,
            "ha.local.",
            ("10.0.0.3",),
            8123,
            Place("ha.local", 1883, "home-assistant", False, ("10.0.0.3",)),
        ),
        # what is no host's name is not used
        (BROKER, "Küche.local.", ("10.0.0.2",), 1883, Place("10.0.0.2", 1883, "mdns", False, ("10.0.0.2",))),
        (BROKER, "\x1b[31m", (), 1883, None),
        (BROKER, "", (), 1883, None),
        (BROKER, "hub.local.", (), 0, None),
        (BROKER, "hub.local.", (), 70_000, None),
    ],
)
def test_the_place_of_a_broker(
    kind: str, server: str, addresses: tuple[str, ...], port: int, expected: Place | None
) -> None:
    assert places_of([Announcement(kind, server, addresses, port)], 1883) == ([] if expected is None else [expected])


@given(st.text(max_size=300), st.integers())
def test_any_announcement_gives_a_place_that_config_yaml_takes_or_none(server: str, port: int) -> None:
    for place in places_of([Announcement(BROKER, server, (), port)], 1883):
        assert place.host.isascii() and place.host.isprintable()
        assert 0 < place.port < 65_536


def test_a_broker_with_tls_is_asked_over_tls(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    more = [f"certfile {certificate}", f"keyfile {key}"]
    with Mosquitto(login=("user", "secret"), more=more) as broker:
        assert wants_login(MqttConfig(port=broker.port, tls=TlsConfig())) is True
        assert wants_login(MqttConfig(port=broker.port)) is None


def test_what_is_no_broker_wants_no_login() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert wants_login(MqttConfig(port=port)) is None

"""A real broker that takes less: what fits arrives, and what does not is counted and explained."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.broker.waits import Waits
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.proxy import Proxy
from tests.mqtt.broker.test_credentials import Old
from tests.mqtt.records import event

SOON = Waits(first_retry_s=0.05, longest_retry_s=0.1)


@contextmanager
def session(port: int, state: Path, waits: Waits = SOON) -> Iterator[Session]:
    ours = Session(MqttConfig(port=port), "node", state, waits)
    ours.start({})
    try:
        yield ours
    finally:
        ours.stop(3.0)


def sequences(subscriber: Subscriber) -> list[int]:
    return [json.loads(payload)["sequence"] for payload in subscriber.payloads("perceptd/node/front/event")]


def test_a_retained_message_that_is_too_large_is_left_out_and_the_rest_arrives(tmp_path: Path, caplog) -> None:
    with Mosquitto(more=["max_packet_size 1500"]) as broker, Subscriber(broker) as subscriber:
        with session(broker.port, tmp_path) as ours:
            ours.publish("health", b"x" * 2000, retain=True, qos=1)
            ours.announce("homeassistant/device/perceptd_node/config", b"x" * 2000)
            for number in range(20):
                ours.publish_event("front/event", event(number))
            wait_until(lambda: sequences(subscriber) == list(range(1, 21)), "all events")
            assert ours.limits == BrokerLimits(max_packet_bytes=1500, receive_maximum=20)
            ours.publish("health", b"x" * 1000, retain=True, qos=1)
            assert subscriber.wait_for("perceptd/node/health") == [b"x" * 1000]
            status = ours.status()
            assert (status["reconnects"], status["dropped"]) == (
                0,
                {"health_too_large": 1, "announcement_too_large": 1},
            )
            said = f"the MQTT broker at 127.0.0.1:{broker.port} takes packets of at most 1500 bytes, and the message "
            assert said + "perceptd/node/health has 2028; raise the largest packet" in str(status["reason"])
        assert ours.limits is None
    assert caplog.text.count("perceptd/node/health has 2028") == 1


def test_what_is_left_out_is_told_on_each_connection(tmp_path: Path) -> None:
    waits = Waits(steady_s=0.0, first_retry_s=0.01)
    with (
        Mosquitto(more=["max_packet_size 1500"]) as broker,
        Proxy(broker.port) as proxy,
        session(proxy.port, tmp_path, waits) as ours,
    ):
        for number in range(2000, 2003):
            ours.publish("health", b"x" * number, retain=True, qos=1)
            wait_until(lambda: "perceptd/node/health has 2028" in str(ours.status()["reason"]), "told")
            connects = ours.connects
            proxy.cut()
            wait_until(lambda connects=connects: ours.connects > connects, "connected again")


def test_a_broker_of_mqtt_3_1_1_that_cuts_at_a_large_message_shows_its_limit(tmp_path: Path) -> None:
    """It announces nothing. The retained message would be sent again at each connect, and cut the node off for ever."""
    with (
        Mosquitto(more=["max_packet_size 1500"]) as broker,
        Old(broker.port) as old,
        Subscriber(broker) as subscriber,
        session(old.port, tmp_path) as ours,
    ):
        ours.publish("health", b"x" * 2000, retain=True, qos=1)
        for number in range(20):
            ours.publish_event("front/event", event(number))
        wait_until(lambda: ours.status()["dropped"].get("health_too_large"), "the limit is learned")
        wait_until(lambda: sorted(set(sequences(subscriber))) == list(range(1, 21)), "all events")
        wait_until(lambda: ours.connected, "connected")
        assert ours.limits is not None and 1500 <= (ours.limits.max_packet_bytes or 0) < 2029
        assert "ends the connection right after a message of " in str(ours.status()["reason"])
        before = ours.status()["reconnects"]
        ours.publish("front/recognition", b"x" * 3000)
        wait_until(lambda: ours.status()["dropped"].get("recognition_too_large"), "left out")
        assert ours.status()["reconnects"] == before


def test_a_large_recognition_shows_the_limit_too(tmp_path: Path) -> None:
    with (
        Mosquitto(more=["max_packet_size 1500"]) as broker,
        Old(broker.port) as old,
        session(old.port, tmp_path) as ours,
    ):

        def is_left_out() -> bool:
            ours.publish("front/recognition", b"x" * 3000)
            return "recognition_too_large" in ours.status()["dropped"]

        wait_until(is_left_out, "the limit is learned")


def test_without_retained_messages_the_node_works_and_says_what_is_missing(tmp_path: Path, caplog) -> None:
    with (
        Mosquitto(more=["retain_available false"]) as broker,
        Proxy(broker.port) as proxy,
        Subscriber(broker) as subscriber,
        session(proxy.port, tmp_path) as ours,
    ):
        ours.publish("health", b"well", retain=True, qos=1)
        ours.publish_event("front/event", event(1))
        subscriber.wait_for("perceptd/node/front/event")
        assert subscriber.wait_for("perceptd/node/health") == [b"well"]
        assert ours.limits is not None and not ours.limits.retain_available
        assert "stores no retained messages; allow them" in str(ours.status()["reason"])
        assert ours.status()["dropped"] == {}
        proxy.cut()  # the broker publishes the last will, which cannot be retained either
        subscriber.wait_for("perceptd/node/availability", 3)
        assert subscriber.payloads("perceptd/node/availability") == [b"online", b"offline", b"online"]
        assert not any(message.retain for message in subscriber.heard)
    assert "refused the login" not in caplog.text


def test_with_qos_0_only_no_event_is_lost_at_a_cut_and_all_are_counted_as_unconfirmed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    count = 400
    with Mosquitto(more=["max_qos 0"]) as broker, Proxy(broker.port) as proxy, Subscriber(broker) as subscriber:
        with session(proxy.port, tmp_path) as ours:
            for number in range(count):
                ours.publish_event("front/event", event(number))
                if number % 100 == 50:
                    wait_until(lambda number=number: len(sequences(subscriber)) > number // 2, "under way")
                    proxy.cut()
            wait_until(lambda: set(sequences(subscriber)) == set(range(1, count + 1)), "all events")
            wait_until(lambda: ours.status()["outbox"]["stored"] == 0, "all removed from the outbox")
            status = ours.status()
        assert status["dropped"] == {}
        assert status["unconfirmed"] >= count
        assert {message.qos for message in subscriber.heard} == {0}
        first = list(dict.fromkeys(sequences(subscriber)))
        assert first == sorted(first)
    assert "takes messages of QoS 0 only; allow QoS 1 (mosquitto: max_qos)" in caplog.text

"""What the session offers for announcements to Home Assistant: its births, live messages, and what the broker took."""

from pathlib import Path

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.mqtt.test_session import session

TOPIC = "homeassistant/device/perceptd_node/config"
STATUS = "homeassistant/status"


def test_starts_and_ends_of_home_assistant_are_counted_when_they_are_heard_live() -> None:
    with Mosquitto() as broker:
        broker.publish(STATUS, b"online", retain=True)
        with session(broker) as ours:
            wait_until(lambda: ours.connected, "connected")
            for expected in (1, 2):
                broker.publish(STATUS, b"nonsense")
                broker.publish(STATUS, b"online")
                wait_until(lambda expected=expected: ours.births == expected, "one start, for the first is of before")
                assert ours.is_home_assistant_up
                broker.publish(STATUS, b"offline")
                wait_until(lambda: not ours.is_home_assistant_up, "the end is heard")
            assert (ours.births, ours.connects) == (2, 1)


def test_an_announcement_is_repeated_at_a_start_of_home_assistant_but_an_empty_one_is_not() -> None:
    with Mosquitto() as broker, Subscriber(broker, "homeassistant/device/#") as heard, session(broker) as ours:
        ours.announce(TOPIC, b"{}")
        wait_until(lambda: not ours.announcing, "the broker has it")
        broker.publish(STATUS, b"online")
        assert heard.wait_for(TOPIC, 2) == [b"{}", b"{}"]
        ours.announce(TOPIC, b"")
        wait_until(lambda: not ours.announcing, "the broker has taken the empty one")
        broker.publish(STATUS, b"online")
        wait_until(lambda: ours.births == 2, "the second start is heard")
        ours.announce("homeassistant/device/last/config", b"{}")
        heard.wait_for("homeassistant/device/last/config")
        assert heard.payloads(TOPIC) == [b"{}", b"{}", b""]


def test_an_announcement_may_be_live_and_leaves_the_retained_one_alone() -> None:
    with Mosquitto() as broker, session(broker) as ours:
        ours.announce(TOPIC, b'{"all": 1}')
        ours.announce("homeassistant/device/other/config", b"{}")
        wait_until(lambda: not ours.announcing, "the broker has both")
        ours.announce(TOPIC, b'{"live": 1}', retain=False)
        wait_until(lambda: not ours.announcing, "the broker has the live one")
        with Subscriber(broker, "homeassistant/#") as late:
            assert late.wait_for(TOPIC) == [b'{"all": 1}']


def test_a_refused_announcement_cuts_nobody_off_and_is_tried_again_when_home_assistant_starts(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite perceptd/#\ntopic readwrite homeassistant/status\n")
    # this mosquitto ends the connection after a refusal, because its queue has no limit
    with Mosquitto(more=[f"acl_file {acl}"]) as broker, session(broker) as ours:
        ours.announce(TOPIC, b"{}")
        ours.announce("homeassistant/device/other/config", b"{}", retain=False)
        wait_until(lambda: ours.status()["dropped"].get("announcement_refused") == 2, "both are refused, once each")
        connects = ours.connects
        ours.announce(TOPIC, b'{"new": 1}')
        with Subscriber(broker, "perceptd/#") as heard:
            wait_until(lambda: ours.connected, "connected")
            for number in range(3):
                assert ours.publish("health", b"%d" % number, retain=True, qos=1)
                wait_until(lambda number=number: b"%d" % number in heard.payloads("perceptd/node/health"), "it arrives")
        assert ours.announcing == {TOPIC, "homeassistant/device/other/config"} and ours.connects <= connects + 1
        acl.write_text("topic readwrite #\n")
        broker.reload()
        with Subscriber(broker, "homeassistant/device/#") as home_assistant:
            broker.publish(STATUS, b"online")
            assert home_assistant.wait_for(TOPIC) == [b'{"new": 1}']


def test_a_session_that_needs_no_births_does_not_listen_for_them(tmp_path: Path) -> None:
    with Mosquitto() as broker:
        ours = Session(MqttConfig(port=broker.port), "node", tmp_path, hears_births=False)
        ours.start({})
        try:
            wait_until(lambda: ours.connected, "connected")
            broker.publish(STATUS, b"online")
            broker.publish("perceptd/node/door/text", b"heard after it")
            wait_until(lambda: ours.status()["dropped"] == {"text_for_no_stream": 1}, "a later message is heard")
            assert ours.births == 0
        finally:
            ours.stop(3.0)

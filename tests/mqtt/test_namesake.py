"""A second daemon with the name of a node is noticed, and is not mistaken for an earlier run of the node."""

import json
import time

import pytest

from daemon.core.timing import monotonic_ns, wall_time
from daemon.mqtt.broker.callbacks import Inbound
from daemon.mqtt.broker.waits import STANDARD
from daemon.mqtt.namesake import NamesakeWatch
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, wait_until
from tests.helpers.proxy import Proxy
from tests.mqtt.test_session import session

OURS, OTHERS = "0" * 32, "1" * 32
BEGAN = "2026-01-31T12:00:00.000000Z"
EARLIER, LATER, LATEST = (f"2026-01-31T{clock}.000000Z" for clock in ("11:59:00", "12:01:00", "12:02:00"))

NONSENSE = (b"", b"[]", b"{}", b'{"instance":7}', b"\xff")

NAMESAKE = "another device connects to the MQTT broker as node hall; give each device its own node in config.yaml"
CLONE = (
    "another daemon with the id of this device connects to the MQTT broker as node hall; "
    "give each device its own node in config.yaml; "
    "on a copied card, remove device_id from the state directory too"
)


def stored(device: str | None, sent: str = LATER, instance: str = "b") -> Inbound:
    """Health that the broker had stored."""
    fields = {"instance": instance, "time": sent} | ({} if device is None else {"device": device})
    return Inbound("perceptd/hall/health", json.dumps(fields).encode(), True)


def live(device: str | None, sent: str = LATER, instance: str = "b") -> Inbound:
    """Health that is sent now."""
    return Inbound("perceptd/hall/health", stored(device, sent, instance).payload, False)


def verdict(*messages: Inbound, device: str | None = OURS, has_published: bool = True) -> str | None:
    """What is said after the last of these messages; nothing may be said before."""
    watch = NamesakeWatch("hall", "a", device)
    found = [watch.look(message, has_published=has_published, began=BEGAN) for message in messages]
    assert not any(found[:-1])
    return None if found[-1] is None else str(found[-1])


@pytest.mark.parametrize(
    "messages",
    [
        [stored(OURS, instance="a"), live(OURS, instance="a"), live(OURS, instance="a")],
        [stored(OURS, EARLIER)] * 3,
        [stored(OURS, EARLIER), stored(OURS, EARLIER, "c"), stored(None, EARLIER)],
        [stored(OURS, EARLIER), live(OURS, EARLIER)],
        [stored(OURS, LATER)] * 3,
        [stored(OURS, LATER), stored(OURS, LATEST, "c")],
        [live(OURS), live(OURS, instance="c")],
        [live(None)],
        [Inbound("perceptd/hall/health", payload, False) for payload in NONSENSE],
    ],
    ids=["ours", "earlier-run", "earlier-runs", "sent-late", "clock-set", "two-runs", "one-each", "one", "nonsense"],
)  # fmt: skip
def test_what_an_earlier_run_may_have_sent_proves_nothing(messages: list[Inbound]) -> None:
    assert verdict(*messages) is None


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([stored(OTHERS)], NAMESAKE),
        ([stored(OTHERS, EARLIER)], NAMESAKE),
        ([live(OTHERS)], NAMESAKE),
        ([live(None), live(None)], NAMESAKE),
        ([stored(None), stored(None, LATEST)], NAMESAKE),
        ([live(OURS), live(OURS, LATEST)], CLONE),
        ([stored(OURS), stored(OURS, LATEST)], CLONE),
        ([stored(OURS), live(OURS, LATEST)], CLONE),
    ],
)
def test_another_device_is_a_namesake_at_once_and_a_foreign_instance_when_it_lives(
    messages: list[Inbound], said: str
) -> None:
    assert verdict(*messages) == said


def test_what_was_stored_before_this_instance_published_is_of_whatever_had_the_name_before() -> None:
    assert verdict(stored(OTHERS), stored(OTHERS, LATEST), has_published=False) is None
    assert verdict(live(OTHERS), has_published=False) == NAMESAKE


def test_without_an_id_of_its_own_a_device_asks_for_a_living_instance() -> None:
    assert verdict(stored(OTHERS, EARLIER), stored(OTHERS), device=None) is None
    assert verdict(live(OTHERS), live(OTHERS), device=None) == NAMESAKE


def test_health_that_a_dead_device_has_left_costs_one_absence_at_most() -> None:
    watch = NamesakeWatch("hall", "a", OURS)
    found = [watch.look(one, has_published=True, began=BEGAN) for one in (stored(OTHERS), stored(OTHERS))]
    assert [one is not None for one in found] == [True, False]
    assert watch.look(stored(OTHERS, LATEST), has_published=True, began=BEGAN) is not None


def publish_health(ours: Session, device: str) -> None:
    fields = {"instance": ours.instance, "device": device, "time": wall_time(monotonic_ns())}
    ours.publish("health", json.dumps(fields).encode(), retain=True, qos=1)


def healthy(ours: Session, device: str) -> None:
    publish_health(ours, device)
    wait_until(lambda: ours.status()["published"] >= 2, "online and health published")


def test_the_first_of_two_devices_with_one_name_gives_way_and_reports_it(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    """Each cuts off the other by connecting; this version of mosquitto does not give the reason."""
    with session(broker, device=OURS) as first:
        healthy(first, OURS)
        with session(broker, device=OTHERS) as second:
            healthy(second, OTHERS)
            text = "another device connects to the MQTT broker as node node"
            wait_until(lambda: text in str(first.status()["reason"]), "the first has come back and seen it")
            wait_until(lambda: second.connected and second.status()["reconnects"] >= 1, "the second is back")
            time.sleep(4 * STANDARD.first_retry_s)  # as long as several tries after any other loss
            assert second.connected
            assert not first.connected
            assert second.status()["reconnects"] == 1
            assert text not in str(second.status()["reason"])
        assert caplog.text.count(text) == 1


def test_two_daemons_with_the_id_of_one_device_are_told_apart_by_what_they_send(broker: Mosquitto) -> None:
    with session(broker, device=OURS) as first, session(broker, device=OURS) as second:

        def is_noticed() -> bool:
            for each in (first, second):
                publish_health(each, OURS)
            reasons = [str(each.status()["reason"]) for each in (first, second)]
            return any("another daemon with the id of this device" in reason for reason in reasons)

        wait_until(is_noticed, "one of the two gives way")


def test_a_node_that_moves_to_a_broker_with_its_own_old_health_stays(broker: Mosquitto) -> None:
    """In a cluster whose nodes store retained messages for themselves."""
    old = {"instance": "c" * 32, "device": OURS, "time": "2026-01-31T12:00:00.000000Z"}
    with Mosquitto() as other, Proxy(broker.port) as name, session(name, device=OURS) as ours:
        other.publish("perceptd/node/health", json.dumps(old).encode(), retain=True)
        healthy(ours, OURS)
        name.move(other.port)
        wait_until(lambda: ours.status()["reconnects"] >= 1, "connected to the other")
        published = ours.status()["published"]
        publish_health(ours, OURS)
        wait_until(lambda: ours.status()["published"] > published, "published to the other")
        assert "another" not in str(ours.status()["reason"])
        assert ours.connected


def test_a_node_that_moves_to_a_broker_with_another_devices_health_gives_way(broker: Mosquitto) -> None:
    theirs = {"instance": "c" * 32, "device": OTHERS, "time": "2026-01-31T12:00:00.000000Z"}
    with Mosquitto() as other, Proxy(broker.port) as name, session(name, device=OURS) as ours:
        other.publish("perceptd/node/health", json.dumps(theirs).encode(), retain=True)
        healthy(ours, OURS)
        name.move(other.port)
        wait_until(lambda: "another device connects" in str(ours.status()["reason"]), "gives way")
        wait_until(lambda: not ours.connected, "disconnected")

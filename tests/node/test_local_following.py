"""What followers are told: events and topics in their order, the newest scores; and what it costs without any."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.core.records import Event
from daemon.history.records import KeptEvent
from daemon.mqtt.payloads import event_payload
from daemon.mqtt.session import Session
from daemon.node.local_following import MAX_WAITING, Follower, Following
from daemon.node.watching import Watching
from daemon.pipeline.gates import NO_GATES

TIME = "2026-01-31T12:00:00.000000Z"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(MqttConfig(), "node", tmp_path)


@pytest.fixture
def following(session: Session) -> Following:
    return Following(session, {"s": Watching("s", NO_GATES)})


def topic(name: str, value: int) -> dict[str, Any]:
    return {"kind": "topic", "topic": name, "payload": {"value": value}}


def event_step(name: str) -> Any:
    event = Event("start", "bell", name, 0, 0, 0.9, 0.9, shares={"audio": 1.0})
    return event_payload(event, node="node", stream="s", bundle_id="b@1.0.0", time=TIME, started=TIME)


def test_the_newest_value_of_a_topic_waits_in_the_order_of_what_came() -> None:
    follower = Follower()
    for message, name in ((topic("a", 1), "a"), ({"kind": "event"}, None), (topic("b", 1), "b"), (topic("a", 2), "a")):
        follower.put(message, name)
    assert follower.take(0) == [{"kind": "event"}, topic("b", 1), topic("a", 2)]
    assert follower.take(0) == []


def test_a_follower_that_lets_too_much_wait_is_behind(following: Following) -> None:
    follower = following.begin()
    for number in range(MAX_WAITING + 1):
        following.hear_kept(KeptEvent(str(number), "s", "bell", "b@1.0.0", 1e9, 1e9, 0.9))
    assert follower.is_behind
    assert list(following.messages(follower)) == []


def test_followers_hear_what_is_published_and_nobody_listens_without_them(
    session: Session, following: Following
) -> None:
    assert session.listener is None
    first, second = following.begin(), following.begin()
    session.publish("health", b'{"node":"node"}', retain=True, qos=1)
    session.publish("s/snapshot", b"\xff\xd8{}", retain=True)
    session.publish("s/recognition", b"{}")
    session.publish_event("s/event", event_step("e1"))
    for follower in (first, second):
        told = follower.take(0)
        assert [each["kind"] for each in told] == ["topic", "event"]
        assert told[0] == {"kind": "topic", "topic": "health", "payload": {"node": "node"}}
        assert (told[1]["stream"], told[1]["payload"]["id"]) == ("s", "e1")
        json.dumps(told)
    following.end(first)
    assert session.listener is following
    following.end(second)
    assert session.listener is None


def test_the_latest_retained_topics_are_known_without_a_broker(session: Session) -> None:
    session.publish("health", b'{"a":1}', retain=True)
    session.publish("health", b'{"a":2}', retain=True)
    session.announce("homeassistant/device/x/config", b"{}")
    assert session.retained() == {"availability": b"online", "health": b'{"a":2}'}


def test_scores_are_sent_once(following: Following) -> None:
    sent: Iterator[list[dict[str, Any]]] = following.messages(following.begin())
    assert [each["kind"] for each in next(sent)] == ["scores"]
    assert next(sent) == []

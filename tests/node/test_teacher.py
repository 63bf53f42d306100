"""The thread `teaching` over a real broker: thousands of presses, a stop, and a node that cannot be taught."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.core.timing import monotonic_ns
from daemon.mqtt.commands import InvalidCommand, Request, parse_arguments
from daemon.mqtt.session import Session
from daemon.node.presses import MAX_WAITING
from daemon.node.teacher import NoTeacher, Teacher
from daemon.node.teaching_inbox import MAX_QUEUED
from daemon.node.teaching_state import TeachingFacts
from daemon.runtime.heartbeat import hung_loops
from daemon.teaching.records import Example, StoredMoment
from daemon.teaching.store import TeachingStore
from tests.fakes.teaching_input import ENCODERS
from tests.helpers.classroom import VECTORS, Class
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until

TOPIC = "perceptd/node/teaching"
PRESSES = 10_000


@pytest.fixture
def session(broker: Mosquitto, tmp_path: Path) -> Iterator[Session]:
    session = Session(MqttConfig(port=broker.port), "node", tmp_path / "state")
    session.start({})
    wait_until(lambda: session.connected, "connected")
    yield session
    session.stop(3.0)


@pytest.fixture
def subscriber(broker: Mosquitto) -> Iterator[Subscriber]:
    with Subscriber(broker, "perceptd/node/#") as subscriber:
        yield subscriber


@pytest.fixture
def teacher(session: Session, tmp_path: Path) -> Iterator[Teacher]:
    node = Class(tmp_path, answers=session)
    teacher = Teacher(node.work, session, node.counters, on_change=list)
    teacher.start()
    yield teacher
    teacher.close(5.0)


def press(label: str = "kettle boils") -> Request:
    return Request("teach", json.dumps({"label": label, "seconds": 1}).encode())


def answers(subscriber: Subscriber, command: str = "teach") -> list[dict]:
    return [json.loads(payload) for payload in subscriber.payloads(f"perceptd/node/command/{command}/result")]


def presses_in(subscriber: Subscriber) -> int:
    """Return how many presses the latest message of the topic `teaching` has."""
    payloads = subscriber.payloads(TOPIC)
    return sum(label["presses"] for label in json.loads(payloads[-1])["labels"]) if payloads else 0


def news(subscriber: Subscriber) -> list[dict]:
    """Return what was published since the subscription; the broker may hold a message of another test."""
    heard = subscriber.heard.copy()
    return [json.loads(each.payload) for each in heard if each.topic == TOPIC and not each.retain]


def test_of_ten_thousand_presses_in_a_second_some_are_kept_and_each_other_is_refused_in_words(
    teacher: Teacher, subscriber: Subscriber
) -> None:
    request, refused, accepted = press(), [], 0
    arguments = parse_arguments(request)
    for _ in range(PRESSES):
        try:
            teacher.take(request, arguments)
        except InvalidCommand as error:
            refused.append(str(error))
        else:
            accepted += 1
    assert set(refused) == {f"busy: {MAX_QUEUED} commands to teach wait already; send it again later"}
    wait_until(lambda: len(answers(subscriber)) == accepted, "an answer to each that was accepted")
    kept = [answer for answer in answers(subscriber) if answer["ok"]]
    assert MAX_WAITING <= len(kept) <= accepted
    wait_until(lambda: teacher.health().examples == len(kept), "each is in health")
    assert teacher.health().dropped == {"busy": len(refused)}
    assert hung_loops([teacher.progress.snapshot()], monotonic_ns()) is None
    wait_until(lambda: presses_in(subscriber) == len(kept), "the topic has each")


def test_a_stop_refuses_what_waits_in_words(teacher: Teacher, subscriber: Subscriber) -> None:
    request = press()
    teacher.take(request, parse_arguments(request))
    assert teacher.close(5.0)
    with pytest.raises(InvalidCommand, match="the daemon is stopping"):
        teacher.take(request, parse_arguments(request))
    wait_until(lambda: answers(subscriber), "the answer")
    assert [answer["reason"] for answer in answers(subscriber)] == ["the daemon is stopping"]


def test_the_first_message_after_a_start_has_what_was_taught_before(
    session: Session, subscriber: Subscriber, tmp_path: Path
) -> None:
    (tmp_path / "teaching").mkdir()
    store = TeachingStore(tmp_path / "teaching" / "teaching.db")
    store.add_example(Example("1", "kettle boils", "kitchen", 0.0, "press", ENCODERS, [StoredMoment(0, VECTORS)]))
    store.close()
    node = Class(tmp_path, answers=session)
    teacher = Teacher(node.work, session, node.counters, on_change=list)
    teacher.start()
    try:
        wait_until(lambda: news(subscriber), "a message")
    finally:
        teacher.close(5.0)
    assert [label["label"] for label in news(subscriber)[0]["labels"]] == ["kettle boils"]


def test_a_node_that_cannot_be_taught_says_why(session: Session, subscriber: Subscriber) -> None:
    teacher = NoTeacher(TeachingFacts("node", "home@1.0.0", off="teaching.enabled in config.yaml is false"), session)
    teacher.start()
    first = json.loads(subscriber.wait_for(TOPIC)[-1])
    request = press()
    with pytest.raises(InvalidCommand, match=r"teaching\.enabled in config\.yaml is false"):
        teacher.take(request, parse_arguments(request))
    teacher.follow("home@1.0.0")
    teacher.follow("home@1.1.0")
    second = json.loads(subscriber.wait_for(TOPIC, 2)[-1])
    assert (first["enabled"], first["text"]) == (False, "teaching.enabled in config.yaml is false")
    assert second["bundle"] == "home@1.1.0"
    assert teacher.close(0)
    assert not teacher.health().enabled

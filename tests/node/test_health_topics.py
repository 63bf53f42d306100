"""Which messages of the topics `health` and `status` a node publishes."""

import json

from daemon.core.timing import NS_PER_S
from daemon.node.health_topics import HealthTopics, Messages
from tests.node.healths import health, source, stream
from tests.node.test_health_changes import EVERY_S, HOUR_S, LOOK_NS, MISSING, Camera


def status_in(messages: Messages) -> dict:
    return json.loads(messages["status"])


def test_the_first_look_gives_both_and_the_status_comes_again_only_with_other_content() -> None:
    topics = HealthTopics(EVERY_S)
    assert topics.due(health(), None, 0).keys() == {"health", "status"}
    assert topics.due(health(published=5), None, NS_PER_S) == {}
    assert topics.due(health(published=9), None, 40 * NS_PER_S).keys() == {"health"}
    assert topics.due(health("degraded", refused=["a/b"]), None, 41 * NS_PER_S).keys() == {"health", "status"}
    assert topics.latest(health("degraded", refused=["a/b"], published=99), None).keys() == {"health"}


def test_a_missing_camera_is_news_once_in_the_status_of_an_hour() -> None:
    topics, camera = HealthTopics(EVERY_S), Camera(MISSING)
    found = [topics.due(camera(now_ns), None, now_ns) for now_ns in range(0, HOUR_S * NS_PER_S, LOOK_NS)]
    statuses = [status_in(messages)["streams"]["door"]["reason"] for messages in found if "status" in messages]
    assert statuses == [None, f"camera: {MISSING}"]
    assert sum("health" in messages for messages in found) <= 130


def test_a_flapping_camera_does_not_flood_the_status_and_a_pause_shows_at_once_all_the_same() -> None:
    topics, camera, hour_ns = HealthTopics(EVERY_S), Camera(MISSING, delivers=True), HOUR_S * NS_PER_S
    found = [topics.due(camera(now_ns), None, now_ns) for now_ns in range(0, hour_ns, LOOK_NS)]
    assert sum("status" in messages for messages in found) <= 130
    paused = health(streams={"door": stream({"camera": source("paused")}, paused=True, camera=False)})
    assert status_in(topics.due(paused, None, hour_ns))["streams"]["door"]["paused"]


def test_a_source_of_bundles_that_fails_is_told_at_once() -> None:
    topics = HealthTopics(EVERY_S)
    topics.due(health(), None, 0)
    messages = topics.due(health(), "no route to host", NS_PER_S)
    assert messages.keys() == {"status"}
    assert status_in(messages)["models_problem"] == "no route to host"

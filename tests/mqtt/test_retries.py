"""What a broker refuses for a moment is sent later, in order; nothing else waits for it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.config.mqtt import MqttConfig
from daemon.core.timing import NS_PER_S
from daemon.mqtt.broker.callbacks import BrokerReason
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.retries import (
    FIRST_LACK_S,
    LONGEST_S,
    MOST_OVERTAKEN,
    TRIES_ALONE,
    TRYING_AGAIN,
    EventRetries,
    Retries,
)
from daemon.mqtt.send_queue import Outbound, SendQueue
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.refusing_broker import RefusingBroker
from tests.mqtt.records import event

QUOTA_EXCEEDED, NOT_AUTHORIZED, BAD_PAYLOAD = 0x97, 0x87, 0x99
ROUND_NS = round(LONGEST_S * NS_PER_S)

QUOTA, LACK = BrokerReason(QUOTA_EXCEEDED, "Quota exceeded"), BrokerReason(NOT_AUTHORIZED, "Not authorized")
TROUBLE = Trouble("refused", "what to do")
EVENT = Outbound("n/s/event", b"x", 1, sequence=1)
CONFIG = Outbound("ha/config", b"x", 1, retain=True)


def test_after_a_refusal_events_wait_and_then_go_one_at_a_time() -> None:
    retries = EventRetries()
    assert retries.may_send(9, 0)
    assert retries.refused(4, 0) and retries.refused(5, 0)
    assert not retries.may_send(0, NS_PER_S // 4)
    assert retries.may_send(0, NS_PER_S)
    assert not retries.may_send(1, NS_PER_S)
    retries.accepted(4)
    assert retries.may_send(0, NS_PER_S) and not retries.may_send(1, NS_PER_S)
    retries.accepted(5)
    assert retries.may_send(9, NS_PER_S)


def test_waits_grow_up_to_a_minute() -> None:
    retries, now_ns, waits_s = EventRetries(), 0, []
    for _ in range(12):
        retries.refused(1, now_ns)
        began_ns = now_ns
        while not retries.may_send(0, now_ns):
            now_ns += NS_PER_S // 8
        waits_s.append((now_ns - began_ns) / NS_PER_S)
    assert waits_s[0] <= 1.125
    assert LONGEST_S / 2 <= waits_s[-1] <= LONGEST_S + 0.125


def rounds(poison: set[int], events: int, general_until: int, most: int = 200) -> tuple[list[int], list[int]]:
    """Play a broker that refuses some events always, and all of them in the first rounds.

    Return what was accepted, and what was given up.
    """
    retries, accepted, lost = EventRetries(), [], []
    waiting, now_ns = list(range(1, events + 1)), 0
    for number in range(most):
        now_ns += ROUND_NS
        under_way: list[int] = []
        while waiting and len(under_way) < 10 and retries.may_send(len(under_way), now_ns):
            under_way.append(waiting.pop(0))
        for found in under_way:
            if found in poison or number < general_until:
                if retries.refused(found, now_ns):
                    waiting = sorted([*waiting, found])
                else:
                    lost.append(found)
            else:
                retries.accepted(found)
                accepted.append(found)
        if not waiting:
            break
    assert waiting == []
    return accepted, lost


@given(st.sets(st.integers(1, 30), max_size=4), st.integers(0, 30))
@example({1, 29}, 14)
def test_an_event_is_given_up_only_where_others_are_accepted(poison: set[int], general_until: int) -> None:
    # an event at fault waits for later ones, so there must be enough of them
    accepted, lost = rounds(poison, 100, general_until)
    assert lost == sorted(poison)
    assert sorted(accepted) == [n for n in range(1, 101) if n not in poison]


def test_while_everything_is_refused_nothing_is_given_up_and_all_comes_in_order() -> None:
    accepted, lost = rounds(set(), 40, general_until=60)
    assert (accepted, lost) == (list(range(1, 41)), [])


def test_an_event_at_fault_is_given_up_within_a_bounded_number_of_tries() -> None:
    retries, tries = EventRetries(), 0
    while retries.refused(1, tries * ROUND_NS):
        tries += 1
        retries.accepted(100 + tries)
    assert tries == TRIES_ALONE - 1 + MOST_OVERTAKEN


def test_answers_and_what_cannot_pass_are_not_tried_again() -> None:
    retries = Retries()
    assert not retries.refused(EVENT, LACK, TROUBLE, 0, has_worked=True)
    assert not retries.refused(Outbound("n/command/x/result", b"", 1), QUOTA, TROUBLE, 0, has_worked=True)
    assert not retries.refused(replace(CONFIG, counted_as="announcement"), LACK, TROUBLE, 0, has_worked=True)
    assert not retries.refused(CONFIG, LACK, TROUBLE, 0, has_worked=False)
    assert retries.troubles == ()


@pytest.mark.parametrize("message", [EVENT, CONFIG], ids=["event", "topic"])
def test_what_is_too_large_for_the_next_broker_is_no_trouble_any_more(message: Outbound) -> None:
    retries = Retries()
    assert retries.refused(message, QUOTA, TROUBLE, 0, has_worked=True)
    retries.forget(message)
    assert retries.troubles == () and retries.may_send_event(9, 0)
    assert retries.take_due_topics(NS_PER_S) == []


def test_an_event_that_is_refused_for_good_after_a_refusal_that_could_pass_holds_up_nothing() -> None:
    retries = Retries()
    assert retries.refused(EVENT, QUOTA, TROUBLE, 0, has_worked=True)
    assert not retries.refused(EVENT, LACK, TROUBLE, NS_PER_S, has_worked=True)
    assert retries.troubles == () and retries.may_send_event(9, NS_PER_S)


def test_a_topic_without_rights_is_tried_rarely_and_all_of_them_as_soon_as_one_is_accepted() -> None:
    retries, state = Retries(), replace(CONFIG, topic="n/s/state")
    assert retries.refused(CONFIG, LACK, TROUBLE, 0, has_worked=True) and retries.refused(
        state, LACK, TROUBLE, 0, has_worked=True
    )
    assert retries.troubles == (replace(TROUBLE, next_step=TRYING_AGAIN),) * 2
    assert retries.take_due_topics(round(FIRST_LACK_S / 2 * NS_PER_S) - 1) == []
    assert set(retries.take_due_topics(round(FIRST_LACK_S * NS_PER_S))) == {CONFIG.topic, state.topic}
    assert retries.refused(CONFIG, LACK, TROUBLE, 0, has_worked=True)
    retries.accepted(state)
    assert retries.take_due_topics(0) == [CONFIG.topic]


def test_at_another_broker_everything_is_tried_at_once_but_not_again_where_all_have_refused() -> None:
    retries = Retries()
    assert not retries.begin("one") and not retries.begin("two") and not retries.begin("one")
    assert retries.refused(EVENT, QUOTA, TROUBLE, 0, has_worked=True) and retries.refused(
        CONFIG, LACK, TROUBLE, 0, has_worked=True
    )
    assert not retries.begin("one") and not retries.may_send_event(0, 0) and not retries.take_due_topics(0)
    assert retries.begin("two") and retries.may_send_event(0, 0)
    assert retries.take_due_topics(0) == [CONFIG.topic]
    assert retries.refused(CONFIG, LACK, TROUBLE, 0, has_worked=True)
    assert not retries.begin("one") and not retries.begin("two")
    retries.accepted(CONFIG)
    retries.accepted(EVENT)
    assert retries.refused(CONFIG, LACK, TROUBLE, 0, has_worked=True)
    assert retries.begin("one")


def test_a_retained_topic_that_is_withdrawn_is_no_trouble_any_more() -> None:
    retries = Retries()
    assert retries.refused(CONFIG, QUOTA, TROUBLE, 0, has_worked=True)
    assert list(map(str, retries.troubles)) == [
        "the MQTT broker refuses ha/config for now: Quota exceeded; trying again"
    ]
    assert retries.take_due_topics(0) == [] and retries.take_due_topics(NS_PER_S) == ["ha/config"]
    retries.withdraw("ha/config")
    assert retries.troubles == ()


def test_a_refused_event_keeps_its_place_also_when_the_connection_is_lost() -> None:
    queue = SendQueue()
    events = [Outbound("n/s/event", b"%d" % n, 1, sequence=n) for n in range(1, 7)]
    for message in events[4:]:
        queue.add_qos1(message)
    queue.put_back(events[1])
    queue.add_qos1(Outbound("n/command/x/result", b"answer", 1))
    queue.requeue([events[0], events[2], events[3]])
    assert queue.take(True, False) == Outbound("n/command/x/result", b"answer", 1)
    assert queue.is_empty(may_send_event=False) and not queue.is_empty()
    assert [queue.take(True) for _ in events] == events


class Quota:
    """Refuses whatever has a topic that ends so, for the first messages, or for as long as a test says."""

    def __init__(self, suffix: str, count: int, code: int = QUOTA_EXCEEDED) -> None:
        self.suffix, self.count, self.code = suffix, count, code

    def __call__(self, topic: str, _payload: bytes) -> int:
        if not topic.endswith(self.suffix) or self.count <= 0:
            return 0
        self.count -= 1
        return self.code


def config(broker: RefusingBroker) -> MqttConfig:
    return MqttConfig(port=broker.port)


def test_events_beyond_a_quota_come_later_in_order_and_the_rest_at_once(tmp_path: Path) -> None:
    quota = Quota("/event", 1000)
    with RefusingBroker(quota) as broker:
        ours = Session(config(broker), "node", tmp_path)
        ours.start({})
        for number in range(30):
            assert ours.publish_event("front/event", event(number, "end"))
        wait_until(lambda: "refuses events for now: Quota exceeded" in str(ours.status()["reason"]), "told")
        assert ours.publish("front/state", b"now", retain=True, qos=1)
        assert ours.publish("command/x/result", b"answer", qos=1)
        wait_until(lambda: broker.payloads("perceptd/node/front/state") == [b"now"], "other kinds go on")
        wait_until(lambda: broker.payloads("perceptd/node/command/x/result") == [b"answer"], "answers too")
        assert broker.payloads("perceptd/node/front/event") == []
        broker.cut()
        wait_until(lambda: ours.status()["reconnects"] >= 1, "connected again")
        quota.count = 0
        wait_until(lambda: len(broker.payloads("perceptd/node/front/event")) == 30, "all events")
        wait_until(lambda: ours.status()["outbox"]["stored"] == 0, "removed")
        assert "for now" not in str(ours.status()["reason"])
        ours.stop(5.0)
    sequences = [json.loads(payload)["sequence"] for payload in broker.payloads("perceptd/node/front/event")]
    assert sequences == list(range(1, 31))
    assert ours.status()["dropped"] == {}


def test_a_stop_leaves_refused_events_in_the_outbox_and_says_offline(tmp_path: Path) -> None:
    with RefusingBroker(Quota("/event", 1000)) as broker:
        ours = Session(config(broker), "node", tmp_path)
        ours.start({})
        for number in range(300):
            assert ours.publish_event("front/event", event(number, "end"))
        wait_until(lambda: broker.refused, "refused")
        ours.stop(5.0)
        assert broker.payloads("perceptd/node/availability") == [b"online", b"offline"]
        assert ours.status()["outbox"]["stored"] == 300
        assert ours.status()["dropped"] == {}


def test_a_retained_value_beyond_a_quota_is_tried_again_and_only_the_latest(tmp_path: Path) -> None:
    with RefusingBroker(Quota("/state", 1)) as broker:
        ours = Session(config(broker), "node", tmp_path)
        ours.start({})
        assert ours.publish("front/state", b"value", retain=True, qos=1)
        wait_until(lambda: broker.refused, "refused")
        wait_until(lambda: broker.payloads("perceptd/node/front/state") == [b"value"], "accepted later")
        wait_until(lambda: ours.status()["reason"] is None, "nothing is refused any more")
        ours.stop(5.0)
    assert ours.status()["dropped"] == {}


def test_what_cannot_pass_is_counted_and_named(tmp_path: Path) -> None:
    with RefusingBroker(Quota("/event", 1, BAD_PAYLOAD)) as broker:
        ours = Session(config(broker), "node", tmp_path)
        ours.start({})
        for number in range(2):
            assert ours.publish_event("front/event", event(number, "end"))
        wait_until(lambda: len(broker.payloads("perceptd/node/front/event")) == 1, "the other")
        wait_until(lambda: ours.status()["dropped"] == {"event_refused": 1}, "counted")
        assert "refused perceptd/node/front/event: Payload format invalid" in str(ours.status()["reason"])
        ours.stop(5.0)
    assert ours.status()["outbox"]["stored"] == 0


def test_a_refused_retained_topic_cuts_nobody_off(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite perceptd/node/front/#\ntopic readwrite perceptd/node/availability\n")
    # this mosquitto ends the connection after a refusal, because its queue has no limit
    with Mosquitto(more=[f"acl_file {acl}"]) as broker:
        ours = Session(MqttConfig(port=broker.port), "node", tmp_path)
        ours.start({})
        assert ours.publish("health", b"refused", retain=True, qos=1)
        wait_until(lambda: ours.status()["dropped"] == {"health_refused": 1}, "refused")
        wait_until(lambda: ours.connects == 2, "connected again")
        with Subscriber(broker, "perceptd/node/front/#") as heard:
            for number in range(3):
                assert ours.publish("health", b"held back", retain=True, qos=1)
                assert ours.publish_event("front/event", event(number, "end"))
                wait_until(lambda number=number: len(heard.payloads("perceptd/node/front/event")) > number, "arrives")
        assert ours.status()["dropped"]["health_refused"] < 3 and ours.connects < 4
        assert "add `topic write perceptd/node/#`" in str(ours.status()["reason"])
        (fault,) = ours.faults()
        assert fault.startswith("the MQTT broker refused perceptd/node/health: Not authorized; ")
        ours.stop(5.0)
        with Subscriber(broker, "perceptd/node/availability") as late:
            assert late.wait_for("perceptd/node/availability") == [b"offline"]


def test_where_offline_is_refused_the_last_will_says_it(tmp_path: Path) -> None:
    with RefusingBroker(Quota("/availability", 1000)) as broker:
        ours = Session(config(broker), "node", tmp_path)
        ours.start({})
        wait_until(lambda: broker.refused, "online is refused")
        ours.stop(5.0)
        assert broker.refused[-1] == ("perceptd/node/availability", b"offline")
        assert broker.wills == 1

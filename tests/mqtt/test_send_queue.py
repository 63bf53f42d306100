from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.send_queue import MAX_QOS1, Outbound, SendQueue


def drain(outgoing: SendQueue, may_await_ack: bool = True) -> list[bytes]:
    taken = []
    while (message := outgoing.take(may_await_ack)) is not None:
        taken.append(message.payload)
    return taken


@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=2))))
def test_of_a_retained_topic_only_the_latest_value_is_sent_and_can_be_repeated(values):
    outgoing = SendQueue()
    for topic, payload in values:
        outgoing.retain(Outbound(topic, payload, retain=True))
    latest = dict(values)
    assert sorted(drain(outgoing)) == sorted(latest.values())
    assert drain(outgoing) == []
    outgoing.resend_retained()
    assert len(outgoing) == len(latest)
    assert sorted(drain(outgoing)) == sorted(latest.values())


def test_room_for_qos_1_is_bounded_and_comes_back():
    outgoing = SendQueue()
    for n in range(MAX_QOS1):
        assert outgoing.qos1_room == MAX_QOS1 - n
        outgoing.add_qos1(Outbound("n/s/event", b"%d" % n, qos=1))
    assert outgoing.qos1_room == 0
    assert drain(outgoing) == [b"%d" % n for n in range(MAX_QOS1)]
    assert outgoing.qos1_room == MAX_QOS1


def test_while_the_broker_must_acknowledge_first_only_qos_0_goes_on():
    outgoing = SendQueue()
    outgoing.retain(Outbound("n/availability", b"online", qos=1, retain=True))
    outgoing.retain(Outbound("n/health", b"well", qos=0, retain=True))
    outgoing.add_qos1(Outbound("n/s/event", b"e", qos=1))
    outgoing.add_qos0(Outbound("n/s/recognition", b"r"))
    assert drain(outgoing, may_await_ack=False) == [b"well", b"r"]
    assert drain(outgoing) == [b"online", b"e"]


def test_dropped_messages_are_returned():
    outgoing = SendQueue()
    outgoing.add_qos1(Outbound("n/s/event", b"e", qos=1))
    outgoing.add_qos0(Outbound("n/s/recognition", b"r"))
    assert [message.kind for message in outgoing.drop_qos0() + outgoing.drop_qos1()] == ["recognition", "event"]
    assert len(outgoing) == 0

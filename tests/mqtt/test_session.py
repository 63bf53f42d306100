import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from daemon.config.mqtt import MqttConfig
from daemon.core.ports import TextSink
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.proxy import Proxy
from tests.mqtt.records import event


class Texts:
    """A TextSink that remembers what it was given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.taken: list[tuple[bytes, bool]] = []
        self._error = error

    def take(self, payload: bytes, retained: bool) -> None:
        if self._error is not None:
            raise self._error
        self.taken.append((payload, retained))


@contextlib.contextmanager
def session(
    broker: Mosquitto | Proxy,
    text_sinks: Mapping[str, TextSink] = MappingProxyType({}),
    keepalive_s: int = 30,
    device: str | None = None,
) -> Iterator[Session]:
    config = MqttConfig(port=broker.port, keepalive_s=keepalive_s)
    with tempfile.TemporaryDirectory() as state:
        made = Session(config, "node", Path(state))
        made.start(text_sinks, device=device)
        try:
            yield made
        finally:
            made.stop(3.0)


def numbers(payloads: list[bytes]) -> list[int]:
    """The numbers that `event` was given."""
    return [int(json.loads(payload)["label"]) for payload in payloads]


def test_online_is_retained_and_so_is_what_is_published_as_retained(broker):
    with session(broker) as ours:
        ours.publish("health", b"1", retain=True)
        ours.publish("health", b"2", retain=True, qos=1)
        wait_until(lambda: ours.connected and ours.status()["published"] >= 2, "published")
        with Subscriber(broker) as subscriber:
            subscriber.wait_for("perceptd/node/availability")
            subscriber.wait_for("perceptd/node/health")
            assert all(message.retain for message in subscriber.heard)
            assert subscriber.payloads("perceptd/node/availability") == [b"online"]
            assert subscriber.payloads("perceptd/node/health") == [b"2"]


def test_events_come_with_qos_1_and_recognitions_with_qos_0(broker):
    with Subscriber(broker) as subscriber, session(broker) as ours:
        wait_until(lambda: ours.connected, "connected")
        assert ours.publish_event("front/event", event(1))
        assert ours.publish("front/recognition", b"r")
        subscriber.wait_for("perceptd/node/front/event")
        subscriber.wait_for("perceptd/node/front/recognition")
        how = {m.topic.rpartition("/")[2]: (m.qos, m.retain) for m in subscriber.heard}
        assert how == {"availability": (1, False), "event": (1, False), "recognition": (0, False)}


def test_every_message_of_a_burst_arrives_in_order(broker):
    with Subscriber(broker) as subscriber, session(broker) as ours:
        wait_until(lambda: ours.connected, "connected")
        count = 3000
        for number in range(count):
            assert ours.publish("front/recognition", b"%d" % number, wait_s=10.0)
        assert subscriber.wait_for("perceptd/node/front/recognition", count) == [b"%d" % n for n in range(count)]
        assert ours.status()["dropped"] == {}


def test_stop_sends_what_is_queued_and_then_a_retained_offline(broker):
    with Subscriber(broker) as subscriber:
        with session(broker) as ours:
            wait_until(lambda: ours.connected, "connected")
            for number in range(200):
                ours.publish_event("front/event", event(number))
                ours.publish("front/recognition", b"%d" % number)
        assert numbers(subscriber.wait_for("perceptd/node/front/event", 200)) == list(range(200))
        subscriber.wait_for("perceptd/node/front/recognition", 200)
        wait_until(lambda: subscriber.heard[-1].payload == b"offline", "offline at the end")
        assert ours.status()["dropped"] == {}
        assert not ours.connected
        assert "mqtt" not in [thread.name for thread in threading.enumerate()]
    with Subscriber(broker) as late:
        assert late.wait_for("perceptd/node/availability") == [b"offline"]
        assert late.heard[-1].retain


def test_stop_right_after_start_still_says_offline(broker, tmp_path):
    ours = Session(MqttConfig(port=broker.port), "node", tmp_path)
    with Subscriber(broker) as subscriber:
        ours.start({})
        ours.publish_event("front/event", event(1))
        wait_until(lambda: ours.connected, "connected")
        ours.stop(3.0)
        subscriber.wait_for("perceptd/node/front/event")
        assert subscriber.wait_for("perceptd/node/availability", 2) == [b"online", b"offline"]


def test_after_stop_nothing_is_taken_any_more(broker):
    with session(broker) as ours:
        wait_until(lambda: ours.connected, "connected")
    ours.stop(1.0)
    assert not ours.publish_event("front/event", event(1), wait_s=5.0)
    assert not ours.publish("front/recognition", b"r", wait_s=5.0)
    assert ours.counters.dropped == {"event_stopped": 1, "recognition_stopped": 1}


def test_texts_arrive_with_their_stream_and_whether_they_were_retained(broker):
    front, back = Texts(), Texts()
    broker.publish("perceptd/node/back/text", b"old news", retain=True)
    with session(broker, {"front": front, "back": back}) as ours:
        wait_until(lambda: ours.connected, "connected")
        wait_until(lambda: back.taken, "the retained text")
        broker.publish("perceptd/node/front/text", b"room \xff seven")
        broker.publish("perceptd/other/front/text", b"not ours")
        broker.publish("perceptd/node/front/text", b"x" * 100_000)
        wait_until(lambda: len(front.taken) == 2, "three texts")
        assert ours.status()["dropped"] == {}
    assert back.taken == [(b"old news", True)]
    assert front.taken == [(b"room \xff seven", False), (b"x" * 100_000, False)]


def test_a_text_for_a_stream_that_takes_none_is_counted(broker):
    front = Texts()
    with session(broker, {"front": front}) as ours:
        wait_until(lambda: ours.connected, "connected")
        for stream in ("back", "front"):
            broker.publish(f"perceptd/node/{stream}/text", b"seven")
        wait_until(lambda: front.taken, "the text for the other stream")
        assert ours.status()["dropped"] == {"text_for_no_stream": 1}


def test_a_text_sink_that_fails_is_counted_and_harms_nothing(broker, caplog):
    failing = Texts(RuntimeError("no inlet"))
    with Subscriber(broker) as subscriber, session(broker, {"front": failing}) as ours:
        wait_until(lambda: ours.connected, "connected")
        broker.publish("perceptd/node/front/text", b"one")
        broker.publish("perceptd/node/front/text", b"two")
        wait_until(lambda: ours.status()["dropped"] == {"text_failed": 2}, "two failures counted")
        assert ours.publish_event("front/event", event(1))
        subscriber.wait_for("perceptd/node/front/event")
    assert "no inlet" in caplog.text


def test_many_threads_publish_at_once(broker):
    with Subscriber(broker) as subscriber, session(broker) as ours:
        wait_until(lambda: ours.connected, "connected")

        def publish(stream: int) -> None:
            for number in range(200):
                assert ours.publish_event(f"s{stream}/event", event(number))

        threads = [threading.Thread(target=publish, args=(stream,)) for stream in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for stream in range(4):
            assert numbers(subscriber.wait_for(f"perceptd/node/s{stream}/event", 200)) == list(range(200))
        sequences = [
            json.loads(message.payload)["sequence"] for message in subscriber.heard if "event" in message.topic
        ]
        assert sequences == list(range(1, 801))


def test_status_tells_of_the_connection(broker):
    with session(broker) as ours:
        wait_until(lambda: ours.connected, "connected")
        before = ours.status()
        wait_until(lambda: ours.status()["published"] == 1, "online published")
    after = ours.status()
    assert before["connected"] and not after["connected"]
    assert before["reconnects"] == after["reconnects"] == 0
    assert after["since_ns"] > before["since_ns"]

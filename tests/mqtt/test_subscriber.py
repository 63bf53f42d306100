import json
import shutil
import subprocess
import threading

import pytest

from daemon.config.mqtt import MqttConfig
from daemon.core.records import Counters, Event
from daemon.mqtt.payloads import RecognitionPayload, event_payload, state_payload
from daemon.mqtt.subscriber import Malformed, Received, watch
from tests.helpers.mosquitto import Mosquitto, Subscriber, free_port, wait_until
from tests.mqtt.records import recognition
from tests.mqtt.test_payloads import TIME, build
from tests.mqtt.test_session import session


class Watching:
    """Runs `watch` on another thread."""

    def __init__(self, port: int, node: str | None = "node") -> None:
        self.received_messages: list[Received] = []
        self.counters: Counters | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(MqttConfig(port=port), node))

    def _watch(self, config: MqttConfig, node: str | None) -> None:
        self.counters = watch(config, node, emit=self.received_messages.append, stop=self._stop, report_silence=print)

    def kinds(self) -> list[str]:
        return [received.kind for received in self.received_messages.copy()]

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_a_watcher_sees_what_a_session_publishes_and_what_is_malformed(broker):
    with session(broker) as ours, Watching(broker.port) as watching:
        ours.publish("front/state", state_payload(label=None, score=None, since=TIME).to_json(), retain=True)
        wait_until(lambda: {"availability", "state"} <= set(watching.kinds()), "the retained topics")
        sent = build(recognition())
        ours.publish("front/recognition", sent.to_json())
        ours.publish("front/event", b"\x1b[2J", qos=1)
        ours.publish("front/other", b"not for watchers", qos=1)
        wait_until(lambda: {"recognition", "event"} <= set(watching.kinds()), "recognition and event")
        received_messages = {received.kind: received.content for received in watching.received_messages}
        assert received_messages["recognition"] == sent
        assert isinstance(received_messages["event"], Malformed)
    assert watching.counters is not None
    assert watching.counters.dropped == {"malformed": 1}
    assert len(watching.received_messages) == 4


def test_a_watcher_waits_for_its_broker_and_comes_back_after_a_restart():
    broker = Mosquitto()
    with Watching(broker.port, None) as watching, broker:
        broker.publish("perceptd/one/availability", b"online", retain=True)
        wait_until(lambda: len(watching.received_messages) == 1, "online seen")
        broker.restart()
        broker.publish("perceptd/two/availability", b"online", retain=True)
        wait_until(lambda: len(watching.received_messages) == 2, "the other node seen")
    assert [received.node for received in watching.received_messages] == ["one", "two"]


def test_watching_ends_without_a_broker_too():
    with Watching(free_port()) as watching:
        pass
    assert watching.received_messages == []
    assert watching.counters == Counters()


def test_what_the_reader_raises_ends_the_watching(broker):
    broker.publish("perceptd/node/availability", b"online", retain=True)

    def emit(received: Received) -> None:
        raise BrokenPipeError(received.kind)

    with pytest.raises(BrokenPipeError, match="availability"):
        watch(MqttConfig(port=broker.port), "node", emit=emit, stop=threading.Event(), report_silence=print)
    assert "mqtt-watch" not in [thread.name for thread in threading.enumerate()]


def test_messages_from_before_the_end_are_still_emitted(broker):
    stop, received_messages = threading.Event(), []

    def slowly(received: Received) -> None:
        if not received_messages:
            broker.publish("perceptd/node/availability", b"offline")
            subscriber.wait_for("perceptd/node/availability", 2)
            stop.set()
        received_messages.append(received.content)

    broker.publish("perceptd/node/availability", b"online", retain=True)
    with Subscriber(broker) as subscriber:
        watch(MqttConfig(port=broker.port), "node", emit=slowly, stop=stop, report_silence=print)
    assert received_messages == ["online", "offline"]


def test_a_foreign_client_reads_the_payloads_as_documented(broker):
    """mosquitto_sub shares no code with the daemon."""
    tool = shutil.which("mosquitto_sub")
    assert tool, "mosquitto_sub is not installed: apt-get install mosquitto-clients"
    event = Event("start", "7", "abc", 0, 200_000_000, 0.9, 0.9)
    with session(broker) as ours:
        started = event_payload(event, node="node", stream="front", bundle_id="b", time=TIME, started=TIME)
        for suffix, made in (("recognition", build(recognition())), ("event", started)):
            ours.publish(f"front/{suffix}", made.to_json(), retain=True, qos=1)
        wait_until(lambda: ours.status()["published"] == 3, "published")
        command = [tool, "-p", str(broker.port), "-V", "5", "-t", "perceptd/#", "-C", "3", "-W", "10", "-F", "%t %p"]
        lines = subprocess.run(command, capture_output=True, check=True).stdout.decode().splitlines()
    heard = dict(line.split(" ", 1) for line in lines)
    assert heard["perceptd/node/availability"] == "online"
    fields = json.loads(heard["perceptd/node/front/recognition"])
    assert fields["schema"] == 1
    assert fields["labels"][0]["logit"] == pytest.approx(
        fields["labels"][0]["bias"] + sum(fields["labels"][0]["shares"].values())
    )
    assert RecognitionPayload.model_validate(fields).label == fields["label"]
    assert json.loads(heard["perceptd/node/front/event"])["phase"] == "start"

"""What the session does when the broker is late, dies, freezes or refuses."""

import gc
import itertools
import json
import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from pydantic import SecretStr

from daemon.config.mqtt import MqttConfig
from daemon.mqtt.broker.waits import Waits
from daemon.mqtt.send_queue import MAX_QOS0, MAX_QOS1
from daemon.mqtt.session import Session
from tests.helpers.mosquitto import WAIT_S, Mosquitto, Subscriber, free_port, wait_until
from tests.helpers.promised import PromisedTime
from tests.mqtt.records import event
from tests.mqtt.test_session import Texts, numbers, session

PASSWORD = "correct horse"


def test_a_hard_restart_of_the_broker_brings_everything_back(broker):
    front = Texts()
    with session(broker, {"front": front}) as ours:
        ours.publish("health", b"well", retain=True)
        wait_until(lambda: ours.status()["published"] >= 2, "published")
        broker.restart()
        with Subscriber(broker) as subscriber:
            wait_until(lambda: ours.status()["reconnects"] >= 1, "reconnected")
            assert subscriber.wait_for("perceptd/node/availability") == [b"online"]
            assert subscriber.wait_for("perceptd/node/health") == [b"well"]
        with Subscriber(broker) as late:
            late.wait_for("perceptd/node/health")
            late.wait_for("perceptd/node/availability")
            assert all(message.retain for message in late.heard)
        broker.publish("perceptd/node/front/text", b"seven")
        wait_until(lambda: front.taken == [(b"seven", False)], "texts arrive again")


def test_without_a_broker_events_wait_in_order_and_recognitions_are_dropped(broker, caplog):
    broker.kill()
    count = MAX_QOS1 * 3
    with session(broker) as ours:
        for number in range(count):
            assert ours.publish_event("front/event", event(number))
        assert not ours.publish("front/recognition", b"r")
        assert not ours.publish("front/recognition", b"r", wait_s=0.01)
        assert ours.publish("front/state", b"old", retain=True)
        assert ours.publish("front/state", b"new", retain=True)
        wait_until(lambda: "trying again" in caplog.text, "a warning")
        wait_until(lambda: ours.status()["outbox"]["stored"] == count, "all on disk")
        broker.start()
        with Subscriber(broker) as subscriber:
            assert ours.publish("front/recognition", b"waited", wait_s=WAIT_S)
            assert subscriber.wait_for("perceptd/node/front/state") == [b"new"]
        wait_until(lambda: ours.status()["outbox"]["stored"] == 0, "everything acknowledged and removed")
        assert ours.status()["dropped"] == {"recognition_not_connected": 2}
    assert caplog.text.count("Connection refused") == 1


def test_what_the_broker_has_not_taken_is_sent_by_the_next_run_in_order(broker, tmp_path):
    broker.kill()
    count = MAX_QOS1 * 2
    ours = Session(MqttConfig(port=broker.port), "node", tmp_path)
    ours.start({})
    for number in range(count):
        assert ours.publish_event("front/event", event(number, "start"))
        assert ours.publish_event("front/event", event(number, "end", event_id=f"{number:032x}"))
    stop_within(ours, 3.0)
    assert ours.status()["dropped"] == {}
    broker.start()
    again = Session(MqttConfig(port=broker.port), "node", tmp_path)
    with Subscriber(broker) as subscriber:
        again.start({})
        assert again.publish_event("front/event", event(9999))
        payloads = subscriber.wait_for("perceptd/node/front/event", 2 * count + 1)
        again.stop(5.0)
    assert [json.loads(payload)["sequence"] for payload in payloads] == list(range(1, 2 * count + 2))
    assert numbers(payloads)[-1] == 9999


def test_events_on_the_way_when_the_broker_dies_arrive_at_least_once(broker):
    with session(broker) as ours:
        wait_until(lambda: ours.status()["published"] >= 1, "online published")
        broker.freeze()
        for number in range(100):
            assert ours.publish_event("front/event", event(number))
        broker.restart()
        with Subscriber(broker) as subscriber:
            wait_until(lambda: ours.status()["published"] >= 102, "all acknowledged")
            got = numbers(subscriber.payloads("perceptd/node/front/event"))
            distinct = list(dict.fromkeys(got))
            assert distinct == sorted(distinct)
    assert ours.status()["dropped"] == {}


def test_what_a_frozen_broker_does_not_take_is_bounded_and_counted(broker):
    with session(broker) as ours:
        wait_until(lambda: ours.connected, "connected")
        broker.freeze()
        taken: list[bool] = []
        # on a busy machine one is refused while the broker's buffers have room
        while taken[-3:] != [False] * 3:
            taken.append(ours.publish("front/recognition", bytes(65_536), wait_s=0.3))
        assert taken.count(True) >= MAX_QOS0
        assert ours.status()["dropped"] == {"recognition_backlog": taken.count(False)}
        broker.thaw()
        assert ours.publish("front/recognition", b"r", wait_s=WAIT_S)


def test_the_will_says_offline_when_the_process_is_killed(broker, tmp_path):
    program = (
        "import time; from pathlib import Path\n"
        "from daemon.mqtt.session import Session; from daemon.config.mqtt import MqttConfig\n"
        f"s = Session(MqttConfig(port={broker.port}), 'node', Path({str(tmp_path)!r}))\n"
        "s.start({}); time.sleep(60)"
    )
    with Subscriber(broker) as subscriber, subprocess.Popen([sys.executable, "-c", program]) as process:
        subscriber.wait_for("perceptd/node/availability")
        process.kill()
        assert subscriber.wait_for("perceptd/node/availability", 2) == [b"online", b"offline"]
    with Subscriber(broker) as late:
        assert late.wait_for("perceptd/node/availability") == [b"offline"]
        assert late.heard[-1].retain


def test_a_second_session_of_the_same_node_ends_the_first_and_online_wins(broker):
    """As after a power cut: the broker still has the old connection."""
    with Subscriber(broker) as subscriber, session(broker) as first:
        wait_until(lambda: first.status()["published"] == 1, "online published")
        with session(broker) as second:
            wait_until(lambda: second.connected, "connected")
            wait_until(
                lambda: b"online" in subscriber.payloads("perceptd/node/availability")[2:],
                "online after the last will of the first",
            )
            assert subscriber.payloads("perceptd/node/availability")[:2] == [b"online", b"offline"]


def stop_within(ours: Session, deadline_s: float) -> None:
    taken = PromisedTime()
    ours.stop(deadline_s)
    assert taken.elapsed_s() < deadline_s + 0.5


def test_stop_keeps_its_deadline_before_a_frozen_broker_and_the_will_speaks(broker, tmp_path):
    with Subscriber(broker) as subscriber:
        ours = Session(MqttConfig(port=broker.port), "node", tmp_path)
        ours.start({})
        wait_until(lambda: ours.status()["published"] >= 1, "online published")
        broker.freeze()
        for number in range(30):
            ours.publish_event("front/event", event(number))
        stop_within(ours, 1.0)
        assert not ours.connected
        assert ours.status()["outbox"]["stored"] == 30
        broker.thaw()
        assert subscriber.wait_for("perceptd/node/availability", 2) == [b"online", b"offline"]


def test_stop_keeps_its_deadline_while_a_frozen_broker_has_not_answered_the_login(broker, tmp_path):
    broker.freeze()
    ours = Session(MqttConfig(port=broker.port), "node", tmp_path)
    ours.start({})
    assert not ours.publish("front/recognition", b"r", wait_s=0.3)
    stop_within(ours, 0.5)
    assert not ours.connected


def test_stop_without_a_broker_keeps_the_events_and_counts_what_goes_nowhere(caplog, tmp_path):
    ours = Session(MqttConfig(port=free_port()), "node", tmp_path)
    ours.start({})
    wait_until(lambda: "trying again" in caplog.text, "a first try")
    ours.publish_event("front/event", event(1))
    ours.publish("answer", b"a", qos=1)
    stop_within(ours, 3.0)
    assert ours.status()["dropped"] == {"answer_stopped": 1}
    assert ours.status()["outbox"]["stored"] == 1


def test_an_unknown_host_is_tried_again_and_named(caplog, tmp_path):
    config = MqttConfig(host="no-such-host.invalid")
    ours = Session(config, "node", tmp_path)
    ours.start({})
    wait_until(lambda: "no-such-host.invalid:1883" in caplog.text, "a warning that names the host")
    ours.stop(3.0)
    assert "Traceback" not in caplog.text


def test_a_refused_login_is_explained_once_and_the_password_stays_secret(caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    with Mosquitto(login=("device", PASSWORD)) as broker:
        wrong = MqttConfig(port=broker.port, username="device", password=SecretStr("battery staple"))
        ours = Session(wrong, "node", tmp_path)
        ours.start({})
        tries = itertools.count()
        wait_until(lambda: "refused the login" in caplog.text and next(tries) > 250, "several tries")
        ours.stop(3.0)
        assert caplog.text.count("refused the login") == 1
        assert "check mqtt.username and mqtt.password" in caplog.text
        for text in (caplog.text, repr(ours), repr(vars(ours)), repr(wrong), str(ours.status())):
            assert "battery staple" not in text

        right = MqttConfig(port=broker.port, username="device", password=SecretStr(PASSWORD))
        ours = Session(right, "node", tmp_path)
        ours.start({})
        wait_until(lambda: ours.connected, "connected with the right password")
        ours.stop(3.0)


def test_a_broker_that_freezes_is_noticed_by_keepalive_and_found_again(broker):
    with session(broker, keepalive_s=5) as ours:
        wait_until(lambda: ours.status()["published"] >= 1, "online published")
        broker.freeze()
        wait_until(lambda: not ours.connected, "noticed")
        broker.thaw()
        wait_until(lambda: ours.status()["reconnects"] >= 1, "connected again")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00\x01",  # the CONNACK of a broker that speaks MQTT 3.1.1 alone
        b"\x20\xff\xff\xff\xff\xff",
        b"\x20\x06\x00\x00\x03\x21\x00",
        b"\x30\x05\x00\x03\xff\xfe\xfd",
        b"",
    ],
)
def test_what_is_not_an_mqtt_5_broker_is_tried_again_and_harms_nothing(answer, caplog, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        ours = Session(MqttConfig(port=server.getsockname()[1]), "node", tmp_path)
        ours.start({})
        for _ in range(2):
            peer, _address = server.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)
        stop_within(ours, 2.0)
    assert not ours.connected
    assert "MQTT broker at 127.0.0.1:" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("answers", [False, True])
def test_a_broker_that_is_silent_or_drops_everybody_is_reported_once_and_costs_nothing(answers, tmp_path, caplog):
    """The broker accepts the connection and is silent, or ends it. After hundreds of attempts nothing has grown."""
    waits = Waits(connack_s=0.02, first_retry_s=0.01, longest_retry_s=0.01)
    tries = itertools.count(1)
    tried: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(4096)
                    if not answers:
                        peer.recv(1)  # until we give up
                tried.append(next(tries))

        threading.Thread(target=accept, daemon=True).start()
        ours = Session(MqttConfig(port=server.getsockname()[1]), "node", tmp_path, waits)
        ours.start({})
        for number in range(20):
            ours.publish_event("front/event", event(number))
        wait_until(lambda: len(tried) > 30, "thirty tries")
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        wait_until(lambda: len(tried) > 200, "two hundred tries")
        assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 4
        gc.collect()
        assert sum(isinstance(found, Client) for found in gc.get_objects()) <= 5
        assert "did not answer as MQTT requires" in str(ours.status()["reason"])
        assert ours.status()["outbox"]["stored"] == 20
        stop_within(ours, 3.0)
        server.shutdown(socket.SHUT_RDWR)
    assert caplog.text.count("did not answer as MQTT requires") == 1


@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
def test_mosquitto_sub_of_either_version_reads_everything(broker, version):
    command = ["mosquitto_sub", "-p", str(broker.port), "-V", version, "-q", "1", "-t", "#", "-F", "%t %p"]
    with subprocess.Popen([*command, "-W", "60"], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        with session(broker) as ours:
            wait_until(lambda: ours.status()["published"] >= 1, "online published")
            heard = [reader.stdout.readline()]  # it is subscribed, for it gets what is retained
            ours.publish("health", b"well", retain=True, qos=1)
            ours.publish_event("front/event", event(7))
            ours.publish("front/recognition", b"seen", wait_s=WAIT_S)
            ours.publish("front/state", b"state", retain=True, qos=1)
            while len(heard) < 5:
                heard.append(reader.stdout.readline())
        reader.kill()
    topics = [line.split(" ")[0] for line in heard]
    assert topics[0] == "perceptd/node/availability"
    assert sorted(topics[1:]) == [
        *("perceptd/node/front/event", "perceptd/node/front/recognition", "perceptd/node/front/state"),
        "perceptd/node/health",
    ]

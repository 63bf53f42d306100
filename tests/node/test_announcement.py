"""Entities announced to Home Assistant follow config and bundle, and the file remembers what may have to be removed."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.bundle.manifest import LabelInfo, Manifest
from daemon.bundle.taught import Taught, TaughtLabel
from daemon.bundle.thresholds import Threshold
from daemon.config.node import Config
from daemon.core.timing import NS_PER_S
from daemon.mqtt.broker.limits import BrokerLimits
from daemon.mqtt.session import Session
from daemon.node.announcement import Announcement, LedgerFile, hears_births, labels_of
from tests.fakes.discovery_session import FakeDiscoverySession
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until

MODELS = {"models", "models_check", "models_pin"}
SOURCE = {"source": "https://models.example", "root": "root.json"}
OLD = {"connectivity": "binary_sensor", "door_label": "sensor", "door_label_7": "binary_sensor", "models": "update"}


class Node:
    """A node with the stream `door` that announces itself, on a clock of its own."""

    def __init__(self, path: Path, home_assistant: dict[str, Any] | None = None, **more: Any) -> None:
        door = SimpleNamespace(devices=frozenset({"camera"}), takes_text=True)
        settings = {"node": "n", "bundle": "b", "streams": {"door": {"camera": 0}}, **more}
        self.config = Config.model_validate(settings | {"mqtt": {"home_assistant": home_assistant or {}}})
        self.session, self.file = FakeDiscoverySession(), LedgerFile(path, self.config)
        streams: Any = dict.fromkeys(self.config.streams, door)
        self.announcement = Announcement(self.config, streams, self.session, self.file)
        self.now_s = 0.0

    def run(self, seconds: float = 60, labels: list[str] | None = None) -> "Node":
        """Announce a bundle with these labels, and let time pass."""
        manifest = Manifest.model_construct(labels=labels or ["7"])
        self.announcement.publish(manifest)
        for _ in range(round(seconds * 4)):
            self.now_s += 0.25
            self.announcement.look(round(self.now_s * NS_PER_S))
        return self


def announced(models: dict[str, str], path: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of a node with these settings of models."""
    return Node(path, models=models).run().session.components()


def removed(session: FakeDiscoverySession) -> set[str]:
    """Return the keys of the entities that came with their platform alone."""
    components = [found for _, payload in session.live for found in payload.get("components", {}).items()]
    return {key for key, component in components if set(component) == {"platform"}}


def test_update_entities_exist_while_models_source_is_set(tmp_path: Path) -> None:
    path = tmp_path / "announced.json"
    assert not MODELS & set(announced({}, path))
    with_source = announced(SOURCE, path)
    assert with_source["models"]["platform"] == "update"
    assert set(with_source) >= MODELS
    without = Node(path).run()
    assert not MODELS & set(without.session.components())
    assert removed(without.session) >= MODELS


def test_a_new_node_has_a_device_for_each_stream_and_the_nodes_comes_first(tmp_path: Path) -> None:
    node = Node(tmp_path / "announced.json", streams={"door": {"camera": 0, "name": "Front door", "area": "Garden"}})
    first, *others = [json.loads(payload) for payload in node.run().session.retained.values()]
    assert first["device"]["identifiers"] == ["perceptd_n"]
    assert [(other["device"]["name"], other["device"]["suggested_area"]) for other in others] == [
        ("Front door", "Garden")
    ]


@pytest.mark.parametrize(("devices", "count"), [(None, 1), ("node", 1), ("stream", 2)])
def test_a_node_that_has_announced_one_device_keeps_it_until_it_is_told(
    tmp_path: Path, devices: str | None, count: int
) -> None:
    path = tmp_path / "announced.json"
    path.write_text(json.dumps(OLD))  # of perceptd 0.3.0
    node = Node(path, {"devices": devices}).run()
    assert len(node.session.retained) == count
    assert ("door_label" in removed(node.session)) == (devices == "stream")
    # what it has now is kept when the key is taken out again
    assert len(Node(path).run().session.retained) == count
    # and it goes back
    assert len([held for held in Node(path, {"devices": "node"}).run().session.retained.values() if held]) == 1


def test_without_discovery_everything_is_withdrawn_and_births_are_heard_until_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "announced.json"
    Node(path).run()
    off = Node(path, {"discovery": False})
    assert hears_births(off.config, off.file.ledger)
    off.run()
    assert set(off.session.retained.values()) == {b""}
    off.session.births, off.session.is_home_assistant_up = 1, True
    off.run(300)
    again = Node(path, {"discovery": False})
    assert again.file.ledger.is_empty and not hears_births(again.config, again.file.ledger)
    assert again.run().session.retained == {} and again.session.live == []


def test_a_node_whose_announcements_are_refused_does_not_listen_for_home_assistant(tmp_path: Path) -> None:
    path = tmp_path / "announced.json"
    refused = Node(path)
    refused.session.is_refusing = True
    refused.run(200)
    off = Node(path, {"discovery": False})
    assert off.file.ledger.retained and not hears_births(off.config, off.file.ledger)


def test_nothing_is_announced_before_the_limits_of_the_broker_are_known(tmp_path: Path) -> None:
    node = Node(tmp_path / "announced.json")
    node.session.limits = None
    assert node.run().session.retained == {} and not (tmp_path / "announced.json").exists()
    node.session.limits = BrokerLimits(max_packet_bytes=1500)
    topics = set(node.run().session.retained)
    assert not any("/device/" in topic for topic in topics)
    assert "homeassistant/binary_sensor/perceptd_n/connectivity/config" in topics


def test_a_full_disk_delays_no_announcement_and_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, obstacle = tmp_path / "announced.json", tmp_path / "announced.new"
    obstacle.mkdir()
    node = Node(path)
    assert node.run(600).session.components()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: Is a directory; entities that are removed later may stay in Home Assistant"
    ]
    obstacle.rmdir()
    assert LedgerFile(path, node.run().config).ledger.entities


def test_labels_are_shown_in_the_language_where_the_bundle_has_it() -> None:
    info = {"dog": LabelInfo(names={"de": "Hund"}, kind="sound", device_class="sound", icon="mdi:dog", shown=True)}
    manifest = Manifest.model_construct(labels=["dog", "cat", "none"], background=["none"], label_info=info)
    dog, cat = labels_of(manifest, "door", "de")
    assert (dog.name, dog.shown_name, dog.kind, dog.device_class, dog.icon, dog.shown) == (
        "dog",
        "Hund",
        "sound",
        "sound",
        "mdi:dog",
        True,
    )
    assert (cat.name, cat.shown_name, cat.shown) == ("cat", None, False)
    assert [label.shown_name for label in labels_of(manifest, "door", "fr")] == [None, None]
    assert [label.shown_name for label in labels_of(manifest, "door", None)] == [None, None]


def test_a_stream_has_the_labels_that_were_taught_for_it_and_make_events() -> None:
    at = Threshold(start=0.7, end=0.4)
    labels = {
        "kettle boils": TaughtLabel(streams={"kitchen": at}),
        "bell": TaughtLabel(streams={"door": at}, everywhere=at),
        "garage: open": TaughtLabel(everywhere=at, state_of="garage"),
    }
    taught = Taught(model="taught.tflite", cases="taught.npz", labels=labels)
    manifest = Manifest.model_construct(labels=["dog", "none", *labels], background=["none"], taught=taught)
    found = {stream: labels_of(manifest, stream, None) for stream in ("kitchen", "door")}
    assert [label.name for label in found["kitchen"]] == ["dog", "kettle boils", "bell"]
    assert [(label.name, label.shown, label.taught) for label in found["door"]] == [
        ("dog", False, False),
        ("bell", True, True),
    ]


@contextlib.contextmanager
def running(broker: Mosquitto, directory: Path, *, discovery: bool) -> Iterator[Session]:
    """A node that announces itself by its own thread, over a real broker."""
    home_assistant = {"port": broker.port, "home_assistant": {"discovery": discovery}}
    settings = {"node": "n", "bundle": "b", "streams": {"door": {"camera": 0}}, "mqtt": home_assistant}
    config = Config.model_validate(settings)
    file = LedgerFile(directory / "announced.json", config)
    session = Session(config.mqtt, "n", directory, hears_births=hears_births(config, file.ledger))
    door: Any = SimpleNamespace(devices=frozenset({"camera"}), takes_text=True)
    manifest = Manifest.model_construct(labels=["7"])
    announcement = Announcement(config, {"door": door}, session, file)
    announcement.publish(manifest)
    session.start({})
    announcement.start()
    try:
        yield session
    finally:
        assert announcement.close(5.0)
        session.stop(3.0)


def test_the_thread_announces_over_a_real_broker_and_takes_everything_back(tmp_path: Path) -> None:
    topic = "homeassistant/device/perceptd_n/config"
    with Mosquitto() as broker:
        with Subscriber(broker, topic) as home_assistant, running(broker, tmp_path, discovery=True) as session:
            assert b"perceptd n" in home_assistant.wait_for(topic)[0]
            assert json.loads((tmp_path / "announced.json").read_bytes())["retained"][0] == topic
            wait_until(lambda: not session.announcing, "the broker has taken all")
        with Subscriber(broker, topic) as home_assistant, running(broker, tmp_path, discovery=False):
            assert home_assistant.wait_for(topic, 2)[1] == b""

"""What goes is taken back from Home Assistant: at once, after it was away, and under another topic."""

import json
from dataclasses import replace

import pytest

from daemon.mqtt.home_assistant.ledger import Ledger, bounded, parse
from daemon.mqtt.home_assistant.withdrawal import MIGRATE, Message
from tests.mqtt.home_assistant.world import LARGE, SMALL, Setup, World

HALL = "homeassistant/device/perceptd_hall/config"
CAT = ("binary_sensor", "perceptd_hall_door_label_cat")
BOTH = Setup(labels=("dog", "cat"))


def world_with(setup: Setup, *, limits: object = LARGE) -> World:
    """Return a world that has come to rest, with Home Assistant running."""
    world = World(setup)
    world.limits = limits
    world.home_assistant.start()
    world.advance(30)
    assert world.shown() == setup.entries() and world.state.due_ns is None
    world.sent.clear()
    return world


def sent_to(world: World, topic: str) -> list[Message]:
    return [message for _, message in world.sent if message.topic == topic]


def test_nothing_is_sent_while_nothing_changes() -> None:
    world = world_with(BOTH)
    world.advance(3600)
    assert world.sent == []


def test_switches_in_a_row_make_one_announcement_which_is_repeated() -> None:
    world = world_with(BOTH)
    (topic,) = [topic for topic in BOTH.wanted() if topic != HALL]
    for labels in (("dog",), ("cow",), ("cat",), ("dog", "cow")):
        world.setup = Setup(labels=labels)
        world.advance(1)
    world.advance(60)
    retained = [message.payload for message in sent_to(world, topic) if message.retain]
    assert len(retained) == 2 and len(set(retained)) == 1
    assert world.shown() == world.setup.entries()


def test_labels_that_go_while_others_are_set_up_do_not_stay() -> None:
    world = world_with(Setup(labels=("dog",)))
    world.setup = Setup(labels=tuple(f"l{number}" for number in range(30)))
    world.advance(2.5)
    world.setup = Setup(labels=tuple(f"l{number}" for number in range(20)))
    world.advance(40)
    assert world.shown() == world.setup.entries()


def test_a_label_that_went_while_home_assistant_was_away_is_removed_when_it_is_back() -> None:
    world = world_with(BOTH)
    world.home_assistant.stop()
    world.setup = Setup(labels=("dog",))
    world.advance(60)
    assert CAT in world.shown() and b"label_cat" in world.file
    world.sent.clear()
    world.home_assistant.start()
    world.advance(60)
    assert world.shown() == world.setup.entries()
    live = [json.loads(message.payload)["components"] for _, message in world.sent if not message.retain]
    first, second, *_ = [components["door_label_cat"] for components in live]
    assert set(first) == {"platform", "unique_id", "object_id", "default_entity_id", "state_topic"}
    assert set(second) == {"platform"}
    assert b"label_cat" in world.file  # Home Assistant may still end before the removal
    world.advance(120)
    assert b"label_cat" not in world.file and world.home_assistant.warnings == []


@pytest.mark.parametrize("per_stream", [True, False])
def test_a_stream_that_went_while_home_assistant_was_away_is_removed_with_its_topic(per_stream: bool) -> None:
    world = world_with(Setup(streams=("door", "yard"), per_stream=per_stream))
    world.home_assistant.stop()
    world.restart(Setup(per_stream=per_stream))
    world.home_assistant.start()
    world.advance(300)
    assert world.shown() == world.setup.entries()
    assert set(world.broker.retained) == set(world.setup.wanted())
    assert b"yard" not in world.file


@pytest.mark.parametrize("per_stream", [True, False])
def test_an_entity_that_was_in_two_devices_comes_back_in_the_later_one_alone(per_stream: bool) -> None:
    both = ("door", "yard")
    world = world_with(Setup(streams=both, per_stream=not per_stream))
    world.restart(Setup(streams=both, per_stream=per_stream))
    world.advance(60)
    (device,) = {device for (_, entity), device in world.shown().items() if "yard" in entity}
    world.home_assistant.stop()
    world.restart(Setup(per_stream=per_stream))
    world.advance(60)
    world.home_assistant.start()
    world.until(lambda: any(b"withdrawn" in message.payload for _, message in world.sent), "the least config is sent")
    world.advance(4.5)  # Home Assistant has set it up
    assert {device for (_, entity), device in world.shown().items() if "yard" in entity} == {device}
    world.advance(300)
    assert world.shown() == world.setup.entries() and b"yard" not in world.file
    assert not [warning for warning in world.home_assistant.warnings if "unique id" in warning]


@pytest.mark.parametrize("limits", [LARGE, SMALL])
def test_many_that_went_while_home_assistant_was_away_are_removed_in_batches(limits: object) -> None:
    labels = tuple(f"n{number:02}" for number in range(40))
    world = world_with(Setup(streams=("a", "b", "c"), labels=labels), limits=limits)
    world.home_assistant.stop()
    world.setup = Setup(streams=("a", "b", "c"))
    world.advance(60)
    world.home_assistant.start()
    world.advance(400)
    assert world.shown() == world.setup.entries() and b"n39" not in world.file
    assert len([message for _, message in world.sent if b"withdrawn" in message.payload and not message.retain]) < 200


@pytest.mark.parametrize("event", ["it ends", "the node is offline meanwhile"])
def test_what_went_is_remembered_when_home_assistant_ends_before_it_is_gone(event: str) -> None:
    world = world_with(BOTH)
    world.home_assistant.stop()
    world.setup = Setup(labels=("dog",))
    world.advance(60)
    world.home_assistant.start()
    world.until(lambda: any(b"withdrawn" in message.payload for _, message in world.sent), "the least config is sent")
    world.advance(4.5)  # Home Assistant has set it up
    if event == "the node is offline meanwhile":
        world.disconnect()
    world.home_assistant.stop()
    world.connect()
    world.advance(600)
    assert CAT in world.shown() and b"label_cat" in world.file
    world.home_assistant.start()
    world.advance(300)
    assert world.shown() == world.setup.entries() and b"label_cat" not in world.file


def test_entities_move_between_devices_without_a_conflict() -> None:
    world = world_with(Setup(streams=("door", "yard"), per_stream=False))
    for per_stream in (True, False, True):
        world.restart(Setup(streams=("door", "yard"), per_stream=per_stream))
        world.advance(60)
        assert world.shown() == world.setup.entries()
        assert set(world.broker.retained) == set(world.setup.wanted())
    assert world.home_assistant.warnings == []


def test_entities_move_also_while_home_assistant_is_busy_with_the_old_device() -> None:
    world = world_with(Setup(per_stream=False))
    world.setup = Setup(per_stream=False, labels=tuple(f"l{number}" for number in range(30)))
    world.until(lambda: bool(world.sent), "the labels are announced")
    world.restart(Setup(labels=("dog", "l1")))
    world.advance(60)
    assert world.shown() == world.setup.entries()


def test_a_broker_that_takes_small_packets_gets_a_message_per_entity_and_no_registry_entry_is_lost() -> None:
    world = world_with(BOTH)
    for limits in (SMALL, LARGE):
        world.disconnect()
        world.limits = limits
        world.connect()
        for _ in range(60):
            world.advance(1)
            assert world.shown() == BOTH.entries()
        devices = [topic for topic in world.broker.retained if "/device/" in topic]
        assert len(devices) == (0 if limits is SMALL else 2)
        assert all(message.fits(SMALL) for _, message in world.sent) or limits is LARGE
    assert any(message.payload == MIGRATE for _, message in world.sent)


def test_a_node_begins_with_small_messages_where_the_broker_takes_no_others() -> None:
    world = world_with(BOTH, limits=SMALL)
    world.setup = Setup(labels=("dog",))
    world.advance(30)
    assert world.shown() == world.setup.entries()
    assert not [topic for topic in world.broker.retained if "/device/" in topic or "label_cat" in topic]
    world.home_assistant.stop()
    world.setup = Setup(labels=("cow",))
    world.advance(30)
    world.home_assistant.start()
    world.advance(300)
    assert world.shown() == world.setup.entries() and b"label_dog" not in world.file


def test_another_prefix_empties_the_topics_of_the_old_one() -> None:
    world = world_with(BOTH)
    world.restart(Setup(labels=("dog", "cat"), prefix="discovery"))
    world.advance(60)
    assert world.shown() == {}
    assert {topic.partition("/")[0] for topic in world.broker.retained} == {"discovery"}


def test_another_name_empties_the_topics_of_the_old_one_once() -> None:
    world = world_with(BOTH)
    world.restart(Setup(labels=("dog", "cat"), node="porch"))
    world.advance(60)
    assert world.shown() == world.setup.entries()
    assert all(topic.startswith("homeassistant/device/perceptd_porch") for topic in world.broker.retained)
    # another device has the old name now
    world.broker.publish(
        HALL, b'{"device": {"identifiers": ["x"]}, "origin": {"name": "x"}, "components": {}}', retain=True
    )
    world.restart(world.setup)
    world.advance(60)
    assert HALL in world.broker.retained


def test_what_the_broker_refuses_is_neither_confirmed_nor_forgotten() -> None:
    world = World(BOTH, ledger=b'{"door_label_cow": "binary_sensor"}')
    world.state = replace(world.state, ledger=Ledger(node="hall", entities=world.state.ledger.entities))
    world.is_refusing = True
    world.home_assistant.start()
    world.advance(600)
    assert world.state.due_ns is None and world.shown() == {}
    assert not world.state.ledger.is_confirmed and b"label_cow" in world.file


def test_the_file_of_0_3_0_is_read() -> None:
    ledger = parse(b'{"connectivity": "binary_sensor", "door_label": "sensor"}', "hall", "homeassistant")
    assert ledger == Ledger(
        node="hall",
        per_stream=False,
        is_confirmed=True,
        entities={"perceptd_hall": ("binary_sensor/connectivity", "sensor/door_label")},
        retained=(HALL,),
    )
    world = World(Setup(per_stream=False), ledger=b'{"door_label_cat": "binary_sensor"}')
    world.home_assistant.registry = {CAT: "perceptd_hall"}
    world.home_assistant.start()
    world.advance(300)
    assert world.shown() == world.setup.entries()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"nonsense",
        b'{"a b": "sensor"}',
        b'{"key": "../sensor"}',
        b'{"key": "climate"}',
        b'{"version": 2}',
        b'{"version": 3, "node": "hall"}',
        b'{"version": 2, "node": "hall", "entities": {"perceptd_hall": ["sensor/a/b"]}}',
        b'{"version": 2, "node": "hall", "entities": {"zigbee2mqtt": ["sensor/a"]}}',
        b'{"version": 2, "node": "hall", "retained": ["perceptd/hall/availability"]}',
        b'{"version": 2, "node": "hall", "retained": ["homeassistant/device/other/config"]}',
        b'{"version": 2, "node": "hall", "retained": ["homeassistant/#/perceptd_x/config"]}',
        b'{"version": 2, "node": "hall", "retained": ["homeassistant/device/perceptd_x/config\\n"]}',
    ],
)
def test_a_file_with_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse(content, "hall", "homeassistant")


def test_the_ledger_forgets_the_oldest_of_too_many_entities() -> None:
    ledger = Ledger(node="hall", entities={"perceptd_a": ("sensor/a", "sensor/b"), "perceptd_b": ("sensor/c",)})
    left, dropped = bounded(ledger, {}, most=2)
    assert (left.entities, dropped) == ({"perceptd_a": ("sensor/b",), "perceptd_b": ("sensor/c",)}, 1)

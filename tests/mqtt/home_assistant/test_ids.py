"""Ids of entities stay, whatever the layout: an id that changes is another entity, without history and automations."""

import pytest

from daemon.mqtt.home_assistant.announcements import announcements
from daemon.mqtt.home_assistant.devices import Label
from tests.mqtt.home_assistant.nodes import BOTH, components, node, stream

CAMERA, NO_DEVICE = frozenset({"camera"}), frozenset[str]()

# What version 0.3.0 announced for two nodes, as `<platform>.<unique_id>`. Home Assistant made entity ids of it.
IDS = {
    "hall": [
        "binary_sensor.perceptd_hall_connectivity",
        "sensor.perceptd_hall_health",
        "sensor.perceptd_hall_latency",
        "sensor.perceptd_hall_bundle",
        "update.perceptd_hall_models",
        "button.perceptd_hall_models_check",
        "switch.perceptd_hall_models_pin",
        "sensor.perceptd_hall_door_label",
        "sensor.perceptd_hall_door_score",
        "event.perceptd_hall_door_event",
        "binary_sensor.perceptd_hall_door_label_3",
        "binary_sensor.perceptd_hall_door_label_dog_bark_e929d0",
        "switch.perceptd_hall_door_camera",
        "switch.perceptd_hall_door_microphone",
    ],
    "Küche 7": [
        "binary_sensor.perceptd_K_che_7_7ff2ec_connectivity",
        "sensor.perceptd_K_che_7_7ff2ec_health",
        "sensor.perceptd_K_che_7_7ff2ec_latency",
        "sensor.perceptd_K_che_7_7ff2ec_bundle",
        "update.perceptd_K_che_7_7ff2ec_models",
        "button.perceptd_K_che_7_7ff2ec_models_check",
        "switch.perceptd_K_che_7_7ff2ec_models_pin",
        "sensor.perceptd_K_che_7_7ff2ec_T_r_1cff8a_label",
        "sensor.perceptd_K_che_7_7ff2ec_T_r_1cff8a_score",
        "event.perceptd_K_che_7_7ff2ec_T_r_1cff8a_event",
        "binary_sensor.perceptd_K_che_7_7ff2ec_T_r_1cff8a_label_Ja",
        "switch.perceptd_K_che_7_7ff2ec_T_r_1cff8a_camera",
        "sensor.perceptd_K_che_7_7ff2ec_b-c_label",
        "sensor.perceptd_K_che_7_7ff2ec_b-c_score",
        "event.perceptd_K_che_7_7ff2ec_b-c_event",
        "binary_sensor.perceptd_K_che_7_7ff2ec_b-c_label___607474",
    ],
}
STREAMS = {
    "hall": [stream("door", ["3", "dog bark"], devices=BOTH)],
    "Küche 7": [stream("Tür", ["Ja"], devices=CAMERA), stream("b-c", ["ü"], devices=NO_DEVICE)],
}
NEW = {
    *("models_rollback", "models_problem", "last", "snapshot", "text", "teaching", "teaching_next", "question"),
    *("answer_right", "answer_wrong", "answer_was", "teach", "teach_wrong", "teach_missed"),
}


@pytest.mark.parametrize("per_stream", [True, False])
@pytest.mark.parametrize("name", IDS)
def test_entities_of_before_keep_their_ids(name: str, per_stream: bool) -> None:
    found = components(*STREAMS[name], name=name, per_stream=per_stream).items()
    ids = {f"{component['platform']}.{component['unique_id']}" for _, component in found}
    added = ids - set(IDS[name])
    assert not set(IDS[name]) - ids
    assert all(any(unique.endswith(f"_{end}") for end in NEW) for unique in added)


@pytest.mark.parametrize("per_stream", [True, False])
def test_default_ids_have_their_domain_and_depend_on_no_shown_name(per_stream: bool) -> None:
    plain, named = (
        components(stream(labels=[Label("dog", label_name)], shown_name=shown_name), per_stream=per_stream)
        for label_name, shown_name in ((None, None), ("Hund", "Haustür"))
    )
    for key, component in named.items():
        assert component["default_entity_id"] == f"{component['platform']}.{component['object_id']}"
        assert component["object_id"] == component["unique_id"] == f"perceptd_hall_{key}"
        assert component["default_entity_id"] == plain[key]["default_entity_id"]


def test_each_stream_is_a_device_below_the_node_which_comes_first() -> None:
    streams = [stream(), stream("yard", shown_name="Back yard", area="Garden")]
    payloads = announcements(node(prefix="ha"), streams, per_stream=True)
    topics, devices = list(payloads), [payload.device for payload in payloads.values()]
    assert topics == [f"ha/device/{device['identifiers'][0]}/config" for device in devices]
    assert devices[0] == {
        "identifiers": ["perceptd_hall"],
        "name": "perceptd hall",
        "manufacturer": "perceptd",
        "model": "Node",
        "sw_version": "1.0",
    }
    assert [device["via_device"] for device in devices[1:]] == ["perceptd_hall"] * 2
    assert [device["name"] for device in devices[1:]] == ["hall door", "Back yard"]
    assert [device.get("suggested_area") for device in devices[1:]] == [None, "Garden"]
    assert not [key for key in payloads[topics[0]].components if key.startswith(("door", "yard"))]


def test_one_device_has_all_entities_with_the_name_of_their_stream() -> None:
    (topic, payload), *others = announcements(
        node(), [stream(), stream("yard", shown_name="Back yard")], per_stream=False
    ).items()
    assert not others
    assert topic == "homeassistant/device/perceptd_hall/config"
    found = payload.components
    names = [found[key]["name"] for key in ("door_label", "door_event", "yard_label_dog", "yard_camera", "health")]
    assert names == ["door", "door event", "Back yard dog", "Back yard camera", "Health"]

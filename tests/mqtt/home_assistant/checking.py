"""Finds what Home Assistant would refuse, ignore or warn of in a discovery message, by `todays_keys`."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.helpers.home_assistant import compiled
from tests.mqtt.home_assistant import todays_keys as keys


def device_faults(topic: str, message: bytes) -> list[str]:
    """Return what is wrong with the payload of a device."""
    payload = json.loads(message)
    faults = [*_topic_faults(topic), *_key_faults("top", payload, keys.TOP)]
    for key, component in payload["components"].items():
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", key):
            faults.append(f"the key {key!r} of a component cannot be a part of a topic")
        if set(component) != {"platform"}:
            faults += component_faults(component)
    return faults + shared_faults(payload)


def message_faults(topic: str, message: bytes) -> list[str]:
    """Return what is wrong with the message of one component."""
    platform = topic.split("/")[1]
    payload = _expanded(json.loads(message))
    payload["availability"] = [_expanded(topic) for topic in payload.get("availability", [])]
    component = {key: value for key, value in payload.items() if key not in ("device", "origin")}
    return [*_topic_faults(topic), *component_faults(component | {"platform": platform}), *shared_faults(payload)]


def shared_faults(payload: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with `device` and `origin` of a payload."""
    device, origin = payload["device"], payload["origin"]
    faults = [*_key_faults("device", device, keys.DEVICE), *_key_faults("origin", origin, keys.ORIGIN)]
    identifiers = device["identifiers"]
    if not identifiers or not all(isinstance(identifier, str) and identifier for identifier in identifiers):
        faults.append(f"identifiers {identifiers!r}")
    rest = {key: value for key, value in (device | origin).items() if key != "identifiers"}
    return faults + list(_value_faults(rest))


def component_faults(component: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with one entity; none of it may be ignored either."""
    platform = keys.PLATFORMS[component["platform"]]
    of_entity = {"required": platform.required | {"unique_id"}, "optional": platform.optional | keys.COMMON}
    faults = [*_key_faults(component["unique_id"], component, of_entity), *_value_faults(component)]
    for availability in component.get("availability", []):
        faults += [*_key_faults("availability", availability, keys.AVAILABILITY), *_value_faults(availability)]
    if component.get("device_class", next(iter(platform.device_classes), None)) not in {None, *platform.device_classes}:
        faults.append(f"device_class {component['device_class']!r}")
    if component.get("entity_category", "diagnostic") not in platform.categories:
        faults.append(f"entity_category {component['entity_category']!r}")
    domain, _, own_id = component["default_entity_id"].partition(".")
    if domain != component["platform"] or own_id != component["object_id"]:
        faults.append(f"default_entity_id {component['default_entity_id']!r}")
    if len(component["default_entity_id"]) > keys.MAX_ENTITY_ID:
        faults.append("the entity id is too long")
    return faults + list(_combination_faults(component))


def _combination_faults(component: Mapping[str, Any]) -> Iterator[str]:
    platform, device_class = component["platform"], component.get("device_class")
    unit, options = component.get("unit_of_measurement"), component.get("options")
    if options is not None and (device_class != "enum" or unit or "state_class" in component or not options):
        yield f"options {options!r} of device class {device_class!r}, unit {unit!r}"
    if options and (len(set(options)) < len(options) or max(map(len, options)) > keys.MAX_STATE):
        yield f"options {options!r} are not different, or too long"
    if platform == "sensor" and unit and device_class and unit not in keys.SENSOR_UNITS[device_class]:
        yield f"unit {unit!r} of device class {device_class!r}"
    if component.get("state_class", "measurement") not in keys.STATE_CLASSES:
        yield f"state_class {component['state_class']!r}"
    if platform == "event" and (not component["event_types"] or not all(map(_is_text, component["event_types"]))):
        yield f"event_types {component['event_types']!r}"
    if platform == "event" and device_class == "doorbell" and "ring" not in component["event_types"]:
        yield "a doorbell without the event type ring"
    if platform == "text" and not 0 <= component.get("min", 0) <= component.get("max", 255) <= keys.MAX_STATE:
        yield "lengths of a text"
    if "availability" in component and "availability_topic" in component:
        yield "availability and availability_topic exclude each other"
    if component.get("availability_mode", "latest") not in keys.AVAILABILITY_MODES:
        yield f"availability_mode {component['availability_mode']!r}"


def _value_faults(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if key in keys.TEMPLATES:
            compiled(value)
        elif key in keys.READ_TOPICS or key == "command_topic":
            if not _is_text(value) or len(value.encode()) > 65_535 or re.search(r"[+#\x00-\x1f\x7f-\x9f]", value):
                yield f"{key} {value!r}"
        elif key in keys.TRUE_OR_FALSE:
            if not isinstance(value, bool):
                yield f"{key} {value!r}"
        elif key in keys.COUNTS or key == "qos":
            if isinstance(value, bool) or not isinstance(value, int) or value < 0 or (key == "qos" and value > 2):
                yield f"{key} {value!r}"
        elif key in keys.URLS:
            if urlsplit(value).scheme not in ("http", "https", "homeassistant") or not urlsplit(value).netloc:
                yield f"{key} {value!r}"
        elif key in keys.TEXTS and not _is_text(value):
            yield f"{key} {value!r}"
        elif key == "name" and not (value is None or _is_text(value)):
            yield f"name {value!r}"
        if key == "icon" and ":" not in value:
            yield f"icon {value!r}"


def _key_faults(where: str, values: Mapping[str, Any], known: Mapping[str, set[str] | frozenset[str]]) -> list[str]:
    unknown, missing = set(values) - known["required"] - known["optional"], known["required"] - set(values)
    return [*(f"{where}: unknown key {key!r}" for key in unknown), *(f"{where}: no {key!r}" for key in missing)]


def _topic_faults(topic: str) -> list[str]:
    is_known = re.fullmatch(keys.DISCOVERY_TOPIC, topic.partition("/")[2])
    return [] if is_known else [f"Home Assistant does not read the topic {topic!r}"]


def _expanded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {keys.ABBREVIATIONS.get(key, key): value for key, value in values.items()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""

"""What a discovery payload may hold, for every Home Assistant from 2025.4 to 2026.11.

Written from homeassistant/components/mqtt: schemas.py, discovery.py, config.py, const.py, abbreviations.py and the
modules of the platforms, of the releases 2025.4.4, 2026.2.3 and 2026.11.0.
https://www.home-assistant.io/integrations/mqtt/ lists the same keys.

A key that a release does not know makes it refuse the whole payload where it stands at the top, in `device` or in
`origin`. In a component it is ignored. So the first three sets are those of the oldest release, and components may have
the keys of the newest.
"""

from dataclasses import dataclass

TOP = {
    "required": {"device", "origin", "components"},
    "optional": {
        "availability",
        "availability_mode",
        "availability_template",
        "availability_topic",
        "command_topic",
        "encoding",
        "payload_available",
        "payload_not_available",
        "qos",
        "state_topic",
    },
}
DEVICE = {
    "required": {"identifiers"},
    "optional": {
        "configuration_url",
        "connections",
        "hw_version",
        "manufacturer",
        "model",
        "model_id",
        "name",
        "serial_number",
        "suggested_area",
        "sw_version",
        "via_device",
    },
}
ORIGIN = {"required": {"name"}, "optional": {"support_url", "sw_version"}}
AVAILABILITY = {"required": {"topic"}, "optional": {"payload_available", "payload_not_available", "value_template"}}
AVAILABILITY_MODES = {"all", "any", "latest"}

# Keys of every entity. `object_id` is ignored from 2026.4 on, `default_entity_id` until 2025.9. Both are in
# components, where no release refuses an unknown key.
COMMON = {
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "default_entity_id",
    "enabled_by_default",
    "encoding",
    "entity_category",
    "entity_picture",
    "group",
    "icon",
    "json_attributes_template",
    "json_attributes_topic",
    "message_expiry_interval",
    "name",
    "object_id",
    "payload_available",
    "payload_not_available",
    "platform",
    "qos",
    "unique_id",
    "visible_by_default",
}


@dataclass(frozen=True)
class Platform:
    """The keys of a platform besides the common ones, its device classes, and its entity categories."""

    required: frozenset[str]
    optional: frozenset[str]
    device_classes: frozenset[str]
    categories: frozenset[str] = frozenset({"config", "diagnostic"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BINARY_SENSOR_CLASSES = _words(
    "battery battery_charging carbon_monoxide cold connectivity door garage_door gas heat light lock moisture motion "
    "moving occupancy opening plug power presence problem running safety smoke sound tamper update vibration window"
)
# those of sensors that perceptd could use; units by class
SENSOR_UNITS = {"duration": {"d", "h", "min", "s", "ms", "μs"}, "enum": set()}
STATE_CLASSES = {"measurement", "total", "total_increasing", "measurement_angle"}

PLATFORMS = {
    "binary_sensor": Platform(
        _words("state_topic"),
        _words("device_class expire_after force_update off_delay payload_off payload_on value_template"),
        BINARY_SENSOR_CLASSES,
        frozenset({"diagnostic"}),
    ),
    "sensor": Platform(
        _words("state_topic"),
        _words(
            "device_class expire_after force_update last_reset_value_template options state_class "
            "suggested_display_precision unit_of_measurement value_template"
        ),
        frozenset(SENSOR_UNITS),
        frozenset({"diagnostic"}),
    ),
    "event": Platform(
        _words("state_topic event_types"), _words("device_class value_template"), _words("doorbell button motion")
    ),
    "switch": Platform(
        _words("command_topic"),
        _words(
            "command_template device_class optimistic payload_off payload_on retain state_off state_on state_topic "
            "value_template"
        ),
        _words("outlet switch"),
    ),
    "button": Platform(
        _words("command_topic"),
        _words("command_template device_class payload_press retain"),
        _words("identify restart update"),
    ),
    "image": Platform(
        _words("image_topic"),
        _words("content_type image_encoding url_template url_topic"),
        frozenset(),
    ),
    "text": Platform(
        _words("command_topic"),
        _words("command_template max min mode optimistic pattern retain state_topic value_template"),
        frozenset(),
    ),
    "update": Platform(
        _words("state_topic"),
        _words(
            "command_topic device_class display_precision latest_version_template latest_version_topic payload_install "
            "release_summary release_url retain title value_template"
        ),
        _words("firmware"),
    ),
}

TEMPLATES = {"availability_template", "command_template", "json_attributes_template", "value_template"}
READ_TOPICS = {"availability_topic", "image_topic", "json_attributes_topic", "state_topic", "topic"}
TRUE_OR_FALSE = {"enabled_by_default", "force_update", "optimistic", "retain", "visible_by_default"}
COUNTS = {"expire_after", "max", "message_expiry_interval", "min", "off_delay", "suggested_display_precision"}
URLS = {"configuration_url", "entity_picture", "release_url", "support_url"}
TEXTS = {
    "content_type",
    "default_entity_id",
    "icon",
    "manufacturer",
    "model",
    "object_id",
    "payload_available",
    "payload_install",
    "payload_not_available",
    "payload_off",
    "payload_on",
    "payload_press",
    "state_off",
    "state_on",
    "suggested_area",
    "sw_version",
    "unique_id",
    "unit_of_measurement",
    "via_device",
}

# A topic of discovery below the prefix, and the longest id and state of an entity.
DISCOVERY_TOPIC = r"\w+/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config"
MAX_ENTITY_ID = 255
MAX_STATE = 255

# Short names of keys, as far as perceptd uses them.
ABBREVIATIONS = {
    "avty": "availability",
    "avty_mode": "availability_mode",
    "cmd_t": "command_topic",
    "dev": "device",
    "json_attr_tpl": "json_attributes_template",
    "json_attr_t": "json_attributes_topic",
    "o": "origin",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "stat_t": "state_topic",
    "val_tpl": "value_template",
}

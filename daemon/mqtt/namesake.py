"""Notices that a second daemon uses the name of this node, by the health messages under the node's own topic. Pure."""

from pydantic import ValidationError

from daemon.mqtt.broker.callbacks import Inbound
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.payloads import Name, Part, Time


class Sender(Part):
    """Who sent a health message, and when. Versions before 0.4 send no device."""

    instance: Name
    device: Name | None = None
    time: Time | None = None


class NamesakeWatch:
    """Judges the health messages that come under the node's topic, one after another.

    Health of another device is proof at once. Health of another instance of this device may be of an earlier run,
    because a cluster of brokers may have stored it anywhere. The same holds for health without a device. Both are proof
    only while their instance lives.
    """

    def __init__(self, node: str, instance: str, device: str | None) -> None:
        """`device` is the id of this device; None where it cannot be stored, so that earlier runs had other ids."""
        self._node, self._instance, self._device = node, instance, device
        self._suspect: Sender | None = None
        self._found: Sender | None = None

    def look(self, health: Inbound, *, has_published: bool, began: str) -> Trouble | None:
        """Return who uses the name too, and what to do; None while nobody is known to.

        `has_published` says whether this instance has published health, `began` is the wall time of its start.
        """
        sender = _sender(health.payload)
        if sender is None or sender.instance == self._instance:
            return None
        # a stored message proves nothing before this instance has published, or after it has given way to the message
        if health.retained and (not has_published or sender == self._found):
            return None
        is_other_device = None not in (self._device, sender.device) and sender.device != self._device
        if not is_other_device and not self._is_alive(sender, health.retained, began):
            return None
        self._found = sender
        return self._trouble(is_clone=sender.device is not None and sender.device == self._device)

    def _is_alive(self, sender: Sender, retained: bool, began: str) -> bool:
        """Return whether two messages show that the instance lives: live ones, or two stored since `began`."""
        if retained and (sender.time is None or sender.time <= began):
            return False
        before, self._suspect = self._suspect, sender
        return before is not None and before.instance == sender.instance and not (retained and before == sender)

    def _trouble(self, *, is_clone: bool) -> Trouble:
        remedy = "give each device its own node in config.yaml"
        if not is_clone:
            return Trouble(f"another device connects to the MQTT broker as node {self._node}", remedy)
        finding = f"another daemon with the id of this device connects to the MQTT broker as node {self._node}"
        return Trouble(finding, f"{remedy}; on a copied card, remove device_id from the state directory too")


def _sender(health: bytes) -> Sender | None:
    """Return the sender of a health message; None where the message names none."""
    try:
        return Sender.model_validate_json(health)
    except ValidationError:
        return None

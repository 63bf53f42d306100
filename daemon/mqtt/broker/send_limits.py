"""Applies the limits of the present broker to what a session sends; counts and reports what does not fit."""

import time
from dataclasses import replace

from daemon.core.records import Counters
from daemon.mqtt.broker.callbacks import BrokerReason
from daemon.mqtt.broker.limits import PACKET_ID, BrokerLimits, fits, packet_bytes
from daemon.mqtt.broker.packet_size import PacketSizes
from daemon.mqtt.broker.troubles import Trouble
from daemon.mqtt.send_queue import Outbound

# How a broker ends a connection whose packet it does not take: it closes it, or gives one of these reasons.
CLOSED, MALFORMED, PROTOCOL_ERROR, TOO_LARGE = 0x80, 0x81, 0x82, 0x95

ALLOW_SIZE = "raise the largest packet that the broker takes (mosquitto: max_packet_size)"


class SendLimits:
    """The limits that the broker has announced, and those that were learned. Belongs to the MQTT thread."""

    def __init__(self, counters: Counters) -> None:
        self.present = BrokerLimits()
        self._counters = counters
        self._address = ""
        self._learned: dict[str, PacketSizes] = {}  # by host; there are as many as in the config
        self._sizes = PacketSizes()
        self._left_out: dict[str, Trouble] = {}  # by kind of message

    def begin(self, announced: BrokerLimits, address: str, host: str) -> list[Trouble]:
        """Begin a connection to an address of a host; return what its limits take from subscribers."""
        before = self._address, self.present.max_packet_bytes
        self._address = address
        self._sizes = self._learned.setdefault(host, PacketSizes())
        self._sizes.begin(time.monotonic())
        known = [size for size in (announced.max_packet_bytes, self._sizes.limit) if size is not None]
        self.present = replace(announced, max_packet_bytes=min(known, default=None))
        if (address, self.present.max_packet_bytes) != before:
            self._left_out.clear()
        return _remarks(announced, address)

    @property
    def awaits_proof(self) -> bool:
        """Whether nothing may be sent until the broker has acknowledged a large message."""
        return self._sizes.awaits_proof

    def takes(self, message: Outbound) -> bool:
        """Return whether the broker takes a message of this size."""
        return fits(message, self.present)

    def leave_out(self, message: Outbound) -> Trouble:
        """Count a message that is too large; return what to report, which is the same for all messages of its kind."""
        self._counters.drop(f"{message.kind}_too_large")
        limit = self.present.max_packet_bytes
        finding = (
            f"the MQTT broker at {self._address} takes packets of at most {limit} bytes, and the message "
            f"{message.topic} has {packet_bytes(message)}"
        )
        trouble = Trouble(finding, ALLOW_SIZE, "messages that are too large are left out and counted")
        return self._left_out.setdefault(message.kind, trouble)

    def as_sent(self, message: Outbound) -> Outbound:
        """Return the message to send: a suspiciously large one of QoS 0 gets QoS 1, so that it is acknowledged."""
        is_suspect = self._learns and self._sizes.is_suspect(_size(message))
        return replace(message, qos=1) if is_suspect and message.qos == 0 else message

    def sent(self, message: Outbound) -> None:
        """Note that a message was sent, which `as_sent` may have given another QoS."""
        if self._learns:
            self._sizes.sent(_size(message), time.monotonic())

    def acknowledged(self, message: Outbound) -> None:
        """Note that the broker has read a message."""
        self._sizes.acknowledged(_size(message))

    def end(self, loss: BrokerReason | None) -> Trouble | None:
        """End the connection; return what to report if it shows a limit that the broker has not announced."""
        code = None if loss is None else loss.code
        was_cut = code in (CLOSED, MALFORMED, PROTOCOL_ERROR, TOO_LARGE)
        limit = self._sizes.lost(was_cut=was_cut, is_too_large=code == TOO_LARGE, now_s=time.monotonic())
        if limit is None:
            return None
        finding = (
            f"the MQTT broker at {self._address} ends the connection right after a message of {limit + 1} bytes, "
            f"each time"
        )
        return Trouble(finding, ALLOW_SIZE, "messages of that size are left out and counted for an hour")

    @property
    def _learns(self) -> bool:
        """Whether the broker has announced no size, so that cuts must show it."""
        return self.present.max_packet_bytes is None or self._sizes.limit is not None


def _size(message: Outbound) -> int:
    """Return the size that a message has when it is sent with QoS 1, whatever its QoS is."""
    return packet_bytes(message) + (0 if message.qos else PACKET_ID)


def _remarks(limits: BrokerLimits, address: str) -> list[Trouble]:
    """Return what a broker's limits take from subscribers, and what to do."""
    remarks = []
    if not limits.retain_available:
        finding = f"the MQTT broker at {address} stores no retained messages"
        remedy = "allow them (mosquitto: retain_available true)"
        remarks.append(Trouble(finding, remedy, "whoever subscribes later sees a state only when it changes"))
    if limits.max_qos == 0:
        finding = f"the MQTT broker at {address} takes messages of QoS 0 only"
        remedy = "allow QoS 1 (mosquitto: max_qos)"
        remarks.append(
            Trouble(finding, remedy, "an event counts as published when the broker has read it, accepted or not")
        )
    return remarks

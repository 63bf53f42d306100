"""The callbacks of a connection: messages, acknowledgements, and the broker's reasons (MQTT 5, section 2.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.mqtt.broker.permissions import Action, remedy

UNSUPPORTED_PROTOCOL, NOT_AUTHORIZED, TAKEN_OVER = 0x84, 0x87, 0x8E

# A broker that ends a connection for these reasons cannot serve it now. Another address may.
# Server busy, server shutting down, keep alive timeout, quota exceeded, use another server, server moved,
# connection rate exceeded.
AWAY = frozenset({0x89, 0x8B, 0x8D, 0x97, 0x9C, 0x9D, 0x9F})

# What a broker does not take that refuses CONNECT for these reasons: the last will is retained, and has QoS 1.
WILL_REFUSALS: Mapping[int, Mapping[str, Any]] = {0x9A: {"retain_available": False}, 0x9B: {"max_qos": 0}}

CHECK_LOGIN = "check mqtt.username and mqtt.password or password_file"

REMEDIES = {
    0x85: "the broker does not accept the client name; choose another node in config.yaml",
    0x86: f"{CHECK_LOGIN} in config.yaml",
    NOT_AUTHORIZED: f"{CHECK_LOGIN} in config.yaml, and the broker's access list",
    0x8A: "the broker has banned this client: lift the ban there",
    TAKEN_OVER: "another client connected with the same name; give each device its own node in config.yaml",
}

LACKING_RIGHT = "the account lacks a right: docs/security.md lists what the broker's access list must allow"


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from the broker; `retained` says that the broker had stored it before this subscription."""

    topic: str
    payload: bytes
    retained: bool
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class BrokerReason:
    """Why the broker refused something or ended the connection: a reason code (MQTT 5, section 2.4) and its name."""

    code: int
    name: str

    @property
    def remedy(self) -> str | None:
        """What to do about a refused login; None where that is not known."""
        return REMEDIES.get(self.code)

    @property
    def remedy_of_loss(self) -> str | None:
        """What to do about a lost connection; None where that is not known."""
        return LACKING_RIGHT if self.code == NOT_AUTHORIZED else REMEDIES.get(self.code)

    def remedy_for(self, action: Action, topic: str, username: str | None) -> str | None:
        """Return what to do about a refused message or subscription; None where that is not known."""
        return remedy(action, topic, username) if self.code == NOT_AUTHORIZED else None


class MqttCallbacks:
    """Base of the owners of a connection; every method does nothing.

    All methods run on the thread that runs the connection. They must return quickly and never wait for a disk.
    """

    def on_connected(self) -> None:
        """Handle that the broker has accepted the login. Subscribe here."""

    def on_disconnected(self) -> None:
        """Handle that the connection has ended. Called only after `on_connected`."""

    def on_message(self, message: Inbound) -> None:
        """Handle a message under a subscribed topic."""

    def on_acknowledged(self, message_id: int, refusal: BrokerReason | None) -> None:
        """Handle that the broker has acknowledged a message of QoS 1, or refused it.

        Also called for some messages of QoS 0 when they were written.
        """

    def on_turn(self) -> None:
        """Handle the end of one turn of the loop. Send queued messages here, and end the connection here."""

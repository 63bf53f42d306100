"""A broker of MQTT 5 on loopback that refuses messages as a test says. It delivers nothing to subscribers."""

from collections.abc import Callable

from tests.helpers.raw_broker import CONNECT, DISCONNECT, GOOD, PUBLISH, Packet, RawBroker, frame

# returns the reason code for the PUBACK of a message with this topic and payload; 0 accepts it
Refusal = Callable[[str, bytes], int]


class RefusingBroker(RawBroker):
    """`accepted` and `refused` have topic and payload of each message of QoS 1, in order. A context manager."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__({**GOOD, PUBLISH: self._acknowledge})
        self.refusal = refusal
        self.accepted: list[tuple[str, bytes]] = []
        self.refused: list[tuple[str, bytes]] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.cut()

    @property
    def wills(self) -> int:
        """The number of connections without DISCONNECT: of those that ended so, the last will is published."""
        return len(self.got(CONNECT)) - len(self.got(DISCONNECT))

    def payloads(self, topic: str) -> list[bytes]:
        """Return the accepted payloads of a topic."""
        return [payload for found, payload in self.accepted.copy() if found == topic]

    def _acknowledge(self, packet: Packet) -> bytes:
        if not packet.qos:
            return b""
        code = self.refusal(packet.topic, packet.payload)
        (self.refused if code else self.accepted).append((packet.topic, packet.payload))
        return frame(0x40, packet.message_id + bytes((code, 0)))

"""A broker of MQTT 5 on loopback that refuses messages as a test says. It delivers nothing to subscribers."""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Refusal = Callable[[str, bytes], int]
"""Returns the reason code for the PUBACK of a message with this topic and payload; 0 accepts it."""

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = (
    number << 4 for number in (1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14)
)


@dataclass
class RefusingBroker:
    """`accepted` and `refused` have topic and payload of each message of QoS 1, in order. A context manager.

    `wills` counts the connections that have ended without DISCONNECT, so that the last will is published.
    """

    refusal: Refusal
    accepted: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[tuple[str, bytes]] = field(default_factory=list)
    wills: int = 0

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: list[socket.socket] = []

    def __enter__(self) -> "RefusingBroker":
        threading.Thread(target=self._accept, name="refusing-broker", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End every connection."""
        for peer in self._open:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def payloads(self, topic: str) -> list[bytes]:
        """Return the accepted payloads of a topic."""
        return [payload for found, payload in self.accepted.copy() if found == topic]

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as stream:
            self.wills += 1
            while header := stream.read(1):
                size = shift = 0
                while True:
                    digit = stream.read(1)[0]
                    size |= (digit & 0x7F) << shift
                    shift += 7
                    if not digit & 0x80:
                        break
                if answer := self._answer(header[0], stream.read(size)):
                    peer.sendall(answer)

    def _answer(self, header: int, body: bytes) -> bytes:
        kind = header & 0xF0
        if kind == CONNECT:
            return bytes((CONNACK, 3, 0, 0, 0))
        if kind in (SUBSCRIBE, UNSUBSCRIBE):  # one filter in each
            return bytes((SUBACK if kind == SUBSCRIBE else UNSUBACK, 4, *body[:2], 0, 0))
        if kind == DISCONNECT:
            self.wills -= 1
        if kind == PINGREQ:
            return bytes((PINGRESP, 0))
        if kind == PUBLISH and header & 0x06:
            return self._acknowledge(body)
        return b""

    def _acknowledge(self, body: bytes) -> bytes:
        end = 2 + int.from_bytes(body[:2], "big")
        topic, message_id = body[2:end].decode(), body[end : end + 2]
        payload = body[end + 3 + body[end + 2] :]  # properties are shorter than 128 bytes
        code = self.refusal(topic, payload)
        (self.refused if code else self.accepted).append((topic, payload))
        return bytes((PUBACK, 4, *message_id, code, 0))

"""An MQTT broker on loopback that answers every packet with the bytes that a test chooses."""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14


@dataclass(frozen=True)
class Packet:
    """One packet of a client; `connection` counts the connections of the broker."""

    kind: int
    flags: int
    body: bytes
    connection: int
    is_5: bool

    @property
    def size(self) -> int:
        """The size of the whole packet."""
        return len(self.body) + 1 + len(length(len(self.body)))

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH, or the filter of a SUBSCRIBE."""
        text = self.body if self.kind == PUBLISH else self.body[3 if self.is_5 else 2 :]
        return text[2 : 2 + int.from_bytes(text[:2], "big")].decode()

    @property
    def qos(self) -> int:
        """The QoS of a PUBLISH, or that which a SUBSCRIBE asks for."""
        return self.flags >> 1 & 3 if self.kind == PUBLISH else self.body[-1] & 3

    @property
    def message_id(self) -> bytes:
        """The id that the answer repeats."""
        return self.body[2 + len(self.topic.encode()) :][:2] if self.kind == PUBLISH else self.body[:2]

    @property
    def payload(self) -> bytes:
        """The payload of a PUBLISH with less than 128 bytes of properties."""
        rest = self.body[2 + len(self.topic.encode()) + (2 if self.qos else 0) :]
        return rest[1 + rest[0] :] if self.is_5 else rest


# Returns the answer to a packet, or None to end the connection.
Answer = Callable[[Packet], bytes | None]


@dataclass
class Always:
    """Answers with the same bytes, or ends the connection (None)."""

    answer: bytes | None

    def __call__(self, packet: Packet) -> bytes | None:
        return self.answer


def frame(kind: int, body: bytes) -> bytes:
    """Return a packet; `kind` is its first byte."""
    return bytes([kind]) + length(len(body)) + body


def length(value: int) -> bytes:
    """Return a number as a variable byte integer."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def connack(code: int = 0, properties: bytes = b"") -> bytes:
    """Return a CONNACK of MQTT 5."""
    return frame(0x20, bytes([0, code]) + length(len(properties)) + properties)


def accept(packet: Packet) -> bytes:
    """Accept a login."""
    return connack() if packet.is_5 else b"\x20\x02\0\0"


def grant(packet: Packet) -> bytes:
    """Grant a subscription."""
    return suback(packet, packet.qos)


def suback(packet: Packet, code: int) -> bytes:
    """Answer a subscription."""
    return frame(0x90, packet.message_id + (b"\0" if packet.is_5 else b"") + bytes([code]))


def acknowledge(packet: Packet) -> bytes:
    """Acknowledge a message of QoS 1."""
    return frame(0x40, packet.message_id) if packet.qos else b""


def unsuback(packet: Packet) -> bytes:
    """Answer UNSUBSCRIBE."""
    return frame(0xB0, packet.message_id + (b"\0\x11" if packet.is_5 else b""))


def disconnect(code: int, properties: bytes = b"") -> bytes:
    """Return a DISCONNECT of MQTT 5."""
    return frame(0xE0, bytes([code]) + length(len(properties)) + properties)


GOOD: Mapping[int, Answer] = {
    CONNECT: accept,
    SUBSCRIBE: grant,
    PUBLISH: acknowledge,
    UNSUBSCRIBE: unsuback,
    PINGREQ: Always(b"\xd0\0"),
    DISCONNECT: Always(None),
}


@dataclass
class RawBroker:
    """Answers as `answers` say, which a test may change at any time, and lists every packet. A context manager."""

    answers: Mapping[int, Answer] = field(default_factory=lambda: GOOD)
    host: str = "127.0.0.1"
    port: int = 0
    packets: list[Packet] = field(default_factory=list)
    connections: int = 0
    peers: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> "RawBroker":
        self._server = socket.create_server((self.host, self.port))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, name="raw broker", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def behave(self, **changed: Answer) -> None:
        """Answer well from now on, but for packets named like the constants of this module."""
        self.answers = {**GOOD, **{globals()[name]: answer for name, answer in changed.items()}}

    def cut(self) -> None:
        """End all connections."""
        for peer in self.peers.copy():
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def got(self, kind: int, topic: str = "") -> list[Packet]:
        """Return the packets of a kind, and of a topic or filter if one is given."""
        return [each for each in self.packets.copy() if each.kind == kind and (not topic or each.topic == topic)]

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer, self.connections), daemon=True).start()

    def _serve(self, peer: socket.socket, connection: int) -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_5 = False
        with peer, contextlib.suppress(OSError, EOFError):
            stream = peer.makefile("rb")
            while True:
                first = _exactly(stream, 1)[0]
                body = _exactly(stream, _read_length(stream))
                if first >> 4 == CONNECT:
                    is_5 = body[6] == 5
                packet = Packet(first >> 4, first & 15, body, connection, is_5)
                self.packets.append(packet)
                answer = self.answers[packet.kind](packet)
                if answer is None:
                    return
                peer.sendall(answer)


def _exactly(stream, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _read_length(stream) -> int:
    value, shift = 0, 0
    while True:
        digit = _exactly(stream, 1)[0]
        value |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return value

"""A WebSocket listener (RFC 6455) in front of a TCP port, because mosquitto may be built without one."""

import base64
import contextlib
import hashlib
import socket
import threading
from typing import BinaryIO

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE = 2, 8


class WebSocketBridge:
    """Accepts connections at `path`, and passes the content of their binary frames on. A context manager."""

    def __init__(self, target: int, path: str = "/mqtt") -> None:
        self._target, self._path = target, path
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> "WebSocketBridge":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        reader = peer.makefile("rb")
        if not self._shake_hands(peer, reader):
            peer.close()
            return
        broker = socket.create_connection(("127.0.0.1", self._target))
        threading.Thread(target=self._to_peer, args=(broker, peer), daemon=True).start()
        with contextlib.suppress(OSError):
            while (payload := _unframed(reader)) is not None:
                broker.sendall(payload)
            broker.shutdown(socket.SHUT_RDWR)

    def _shake_hands(self, peer: socket.socket, reader: BinaryIO) -> bool:
        request = reader.readline().split()
        headers = {}
        while line := reader.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if request[1].decode() != self._path or b"mqtt" not in headers.get(b"sec-websocket-protocol", b""):
            peer.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")
            return False
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())
        peer.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        return True

    @staticmethod
    def _to_peer(broker: socket.socket, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := broker.recv(30_000):
                size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
                peer.sendall(bytes([0x80 | BINARY]) + size + data)
            peer.shutdown(socket.SHUT_RDWR)


def _unframed(reader: BinaryIO) -> bytes | None:
    """Return the payload of the next frame, which a client has masked; None at the end."""
    head = reader.read(2)
    if len(head) < 2 or head[0] & 15 == CLOSE:
        return None
    size = head[1] & 127
    if size >= 126:
        size = int.from_bytes(reader.read(2 if size == 126 else 8), "big")
    mask, data = reader.read(4), reader.read(size)
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))

"""A daemon's local socket with canned answers, for the page."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from daemon.runtime.local import MAX_REQUEST_BYTES, Connection

# what a request gets: a result, or a refusal as text; and the content of a file beside it
Given = dict[str, Any] | str
Told = tuple[Given, bytes | None]

DESCRIPTION: dict[str, Any] = {
    "node": "demo",
    "version": "0.0.0",
    "streams": {"door": {"name": "door", "camera": True, "sound": True, "text": False, "labels": ["speech"]}},
    "history": {},
    "page": {"trusted_hosts": [], "trusted_proxies": [], "certificate_file": None, "key_file": None},
    "language": "en",
    "label_names": {},
}


class FakeDaemon:
    """Answers by the table `told`; an entry may be a function of the request. Remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self.told: dict[str, Told | Callable[[dict[str, Any]], Told]] = {"describe": (DESCRIPTION, None)}
        # what followers hear at once; then they wait until `close`
        self.messages: list[dict[str, Any]] = [{"kind": "alive"}]
        self._closing = threading.Event()

    @contextmanager
    def serving(self) -> Iterator["FakeDaemon"]:
        """Serve during the block."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(self.path))
            listening.listen(64)
            thread = threading.Thread(target=self._accept, args=(listening,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self._closing.set()
                with suppress(OSError):
                    listening.shutdown(socket.SHUT_RDWR)
                thread.join(5)
                self.path.unlink()

    def requests(self, do: str) -> list[dict[str, Any]]:
        """Return what was asked of one kind."""
        return [each for each in self.asked if each["do"] == do]

    def _accept(self, listening: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                connected, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        connection = Connection(connected, MAX_REQUEST_BYTES)
        with connected, suppress(OSError):
            while (message := connection.receive(60.0)) is not None:
                self.asked.append(message.content)
                if message.content["do"] == "follow":
                    self._tell(connection)
                else:
                    self._answer(connection, message.content)

    def _tell(self, connection: Connection) -> None:
        connection.send({"ok": True, "result": {}}, 5.0)
        for message in self.messages:
            connection.send(message, 5.0)
        while not self._closing.wait(0.2):
            connection.send({"kind": "alive"}, 5.0)

    def _answer(self, connection: Connection, asked: dict[str, Any]) -> None:
        entry = self.told.get(asked["do"], ("there is nothing of this kind", None))
        given, content = entry(asked) if callable(entry) else entry
        if isinstance(given, str):
            connection.send({"ok": False, "reason": given}, 5.0)
            return
        if content is None:
            connection.send({"ok": True, "result": given}, 5.0)
            return
        descriptor = os.memfd_create("fake")
        try:
            os.write(descriptor, content)
            connection.send({"ok": True, "result": given}, 5.0, descriptor)
        finally:
            os.close(descriptor)

"""Somebody who looks at the page of a node, as a browser does: scores as they come, and one picture after the other."""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
READY_S = 30.0

# as daemon/web/static/picture.js asks
WIDTH = 640
NOTHING_NEW_S = 0.05


@dataclass(slots=True)
class Seen:
    """What a visitor has got so far."""

    messages: int = 0
    pictures: dict[str, int] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)


class Page:
    """The page of a node as a process of its own. A context manager."""

    def __init__(self, config: Path) -> None:
        self._command = [sys.executable, "-m", "daemon", "page", "--config", str(config)]

    def __enter__(self) -> "Page":
        """Raises SystemExit when it does not start."""
        command = [*self._command, "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        told = self._process.stdout.readline()
        found = [word for word in told.replace(";", " ").split() if word.startswith("http://")]
        if not found:
            self._process.kill()
            raise SystemExit(f"the page did not start: {' '.join(command)}")
        self._port = urlsplit(found[0]).port
        asked = [*self._command, "--token", "bench"]
        token = subprocess.run(asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        self._headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, which opens with its first request."""
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)

    def ask(self, connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
        """Send a GET below /api/ and return its answer."""
        connection.request("GET", f"/api/{path}", headers=self._headers)
        return connection.getresponse()


@contextmanager
def looking(page: Page, streams: Sequence[str]) -> Iterator[Seen]:
    """Look at some streams during the block, which begins once each has shown a picture. Raises SystemExit."""
    seen, stopping = Seen(pictures=dict.fromkeys(streams, 0)), threading.Event()
    threads = [threading.Thread(target=_follow, args=(page, seen, stopping), daemon=True)]
    threads += [threading.Thread(target=_watch, args=(page, name, seen, stopping), daemon=True) for name in streams]
    for thread in threads:
        thread.start()
    try:
        deadline = time.monotonic() + READY_S
        while not (seen.messages and all(seen.pictures.values())):
            if seen.trouble or time.monotonic() > deadline:
                raise SystemExit(f"the page does not show the streams: {seen}")
            time.sleep(0.05)
        yield seen
    finally:
        stopping.set()
        for thread in threads:
            thread.join(TIMEOUT_S)
    if seen.trouble:
        raise SystemExit(f"the page failed while it was looked at: {seen.trouble}")


def _follow(page: Page, seen: Seen, stopping: threading.Event) -> None:
    connection = page.connect()
    try:
        answer = page.ask(connection, "follow")
        if answer.status != http.client.OK:
            seen.trouble.append(f"follow: {answer.status}")
            return
        while not stopping.is_set() and (line := answer.readline()):
            if line.startswith(b"event: down"):
                seen.trouble.append("the page says that the daemon does not answer")
            seen.messages += line.startswith(b"data:")
    except (OSError, http.client.HTTPException) as error:
        seen.trouble.append(f"follow: {error!r}")
    finally:
        connection.close()


def _watch(page: Page, stream: str, seen: Seen, stopping: threading.Event) -> None:
    connection, after = page.connect(), "0"
    try:
        while not stopping.is_set():
            answer = page.ask(connection, f"picture/{stream}?after={after}&width={WIDTH}")
            answer.read()
            if answer.status == http.client.OK:
                after = answer.headers["X-Sequence"]
                seen.pictures[stream] += 1
            elif answer.status == http.client.NO_CONTENT:
                stopping.wait(NOTHING_NEW_S)
            else:
                seen.trouble.append(f"the picture of {stream}: {answer.status}")
                return
    except (OSError, http.client.HTTPException) as error:
        seen.trouble.append(f"the picture of {stream}: {error!r}")
    finally:
        connection.close()

"""How files come from a source, a web server or a directory: bounded in size and time, and nothing is tried twice."""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface

from daemon import __version__
from daemon.core.errors import UpdateError
from daemon.runtime.http import CHUNK_BYTES, Missing, Web, without_credentials

GRACE_S = 20.0
"""Finding a name, connecting and a TLS handshake take seconds on a slow radio link; twice each time-out in web.py."""

LEAST_BYTES_PER_S = 1000
"""A bundle of 10 MB takes three hours then, and the slowest mobile data (GPRS) is faster: below, it is an attack."""

WAITING_CHUNKS = 4
"""How many chunks may wait to be written: enough that disk and network work at once."""

LOOKS_S = 0.5
"""How long after its chunks are no longer wanted a reader notices."""


def patience_s(received: int) -> float:
    """By how many seconds from the start the next data must have come, after so many bytes."""
    return GRACE_S + received / LEAST_BYTES_PER_S


def paced(read: Callable[[], Iterator[bytes]], name: str, most_s: float = float("inf")) -> Generator[bytes, None, None]:
    """The chunks that `read` gives. Raises UpdateError when they come too slowly or take longer than `most_s`.

    They are read in a thread of their own, for no time-out of a library bounds it all: the name, the handshake, headers
    that come byte by byte, a disk pulled out. A thread that hangs is left behind: its process is short-lived.
    """
    chunks = _Chunks()
    threading.Thread(target=chunks.fill, args=(read,), name="reader", daemon=True).start()
    started, received = time.monotonic(), 0
    try:
        while True:
            until = started + min(patience_s(received), most_s)
            try:
                chunk = chunks.next(until - time.monotonic())
            except Empty:
                raise UpdateError("source", f"{name}: {_too_slow(received, time.monotonic() - started)}") from None
            if chunk is None:
                return
            received += len(chunk)
            yield chunk
    finally:
        chunks.unwanted.set()


class _Chunks:
    """What one thread reads for another: chunks, then None or what went wrong."""

    def __init__(self) -> None:
        self._queue: Queue[bytes | Exception | None] = Queue(WAITING_CHUNKS)
        self.unwanted = threading.Event()

    def fill(self, read: Callable[[], Iterator[bytes]]) -> None:
        try:
            for chunk in read():
                self._put(chunk)
                if self.unwanted.is_set():
                    return
            self._put(None)
        except Exception as error:  # noqa: BLE001  (raised where the chunks are used)
            self._put(error)

    def next(self, timeout_s: float) -> bytes | None:
        """Raises what the reader has raised, or Empty."""
        item = self._queue.get(timeout=max(0.0, timeout_s))
        if isinstance(item, Exception):
            raise item
        return item

    def _put(self, item: bytes | Exception | None) -> None:
        while not self.unwanted.is_set():
            with suppress(Full):
                self._queue.put(item, timeout=LOOKS_S)
                return


def _too_slow(received: int, elapsed_s: float) -> str:
    if received == 0:
        return f"nothing has come for {elapsed_s:.0f} s"
    return f"only {received} bytes have come in {elapsed_s:.0f} s"


METADATA_S = 120.0
"""For one metadata file: they are a few kilobytes, and a catalogue of a thousand files 200 kB."""


class Transport(FetcherInterface):
    """The files below `source`, an http, https or file URL; user and password in it are never shown.

    No file may take longer than `most_s`.
    """

    def __init__(self, source: str, most_s: float = float("inf")) -> None:
        self._most_s = most_s
        self.base = without_credentials(source).rstrip("/") + "/"
        self._web = None if urlsplit(source).scheme == "file" else Web(source, f"perceptd/{__version__}")

    def chunks(self, url: str, most_bytes: int) -> Generator[bytes, None, None]:
        """A file's content. Raises UpdateError, also when it has more than `most_bytes`; Missing when there is none."""
        received = 0
        for chunk in self._fetch(url):
            received += len(chunk)
            if received > most_bytes:
                raise UpdateError("source", f"{url}: sends more than the {most_bytes} bytes that it may have")
            yield chunk

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """A whole metadata file, in memory: no temporary file is needed anywhere. For TUF, which looks for 404."""
        try:
            return b"".join(self.chunks(url, max_length))
        except Missing as missing:
            raise DownloadHTTPError(str(missing), missing.status) from missing

    def _fetch(self, url: str) -> Iterator[bytes]:
        return paced(lambda: self._read(url), url, self._most_s)

    def _read(self, url: str) -> Iterator[bytes]:
        return _from_disk(url) if self._web is None else self._web.chunks(url)


def _from_disk(url: str) -> Iterator[bytes]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Missing(f"{url}: there is no such file: is its disk mounted, and whole?", 404) from error
    except OSError as error:
        raise UpdateError("source", f"{url}: cannot be read: {os.strerror(error.errno or 0)}") from error

"""Data from afar that must keep coming: whoever sends too slowly is given up, wherever in the library we wait."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue

from daemon.errors import UpdateError

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

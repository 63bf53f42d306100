"""Runs a server of the standard library in a thread."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# how often the server looks whether it is to end
POLL_S = 0.02


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve during the block, and close the server."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

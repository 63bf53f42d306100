"""Wakes the thread of a connection, which waits for its socket."""

import os


class Waker:
    """Lets other threads interrupt the poll of a connection's thread."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable after `wake`."""
        return self._descriptor

    def wake(self) -> None:
        """Make the connection's loop take a turn now. Never blocks; callable from any thread until `close`."""
        os.eventfd_write(self._descriptor, 1)

    def clear(self) -> None:
        """Make the descriptor unreadable again."""
        os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Close the descriptor. The loop must have ended, and nobody may call `wake` any more."""
        os.close(self._descriptor)

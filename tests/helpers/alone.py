"""Lets a test run while the other test processes wait, because it measures a promised time."""

import fcntl
import os
from pathlib import Path


class Machine:
    """A lock that all test processes of one run share. Each process holds it while it runs a test."""

    def __init__(self, directory: Path) -> None:
        """`directory` belongs to this run, and is the same in all its processes."""
        self._queue, self._machine = (
            os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for name in ("queue", "machine")
        )
        self.is_exclusive = False

    def acquire(self, *, exclusive: bool) -> None:
        """Wait until no process holds the lock exclusively; with `exclusive`, until no process holds it at all."""
        # a process that waits for the exclusive lock holds the queue, so that no other process overtakes it
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        fcntl.flock(self._machine, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        fcntl.flock(self._queue, fcntl.LOCK_UN)
        self.is_exclusive = exclusive

    def release(self) -> None:
        """Let other processes run tests."""
        fcntl.flock(self._machine, fcntl.LOCK_UN)
        self.is_exclusive = False

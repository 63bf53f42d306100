"""Tests of several processes run side by side, but for those that need the machine for themselves."""

import fcntl
import os
from pathlib import Path


class Machine:
    """Which the processes of one run of the tests share. Each process holds it while it runs a test."""

    def __init__(self, directory: Path) -> None:
        """`directory` is of this run alone, and the same in all its processes."""
        self._turn, self._machine = (
            os.open(directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for name in ("turn", "machine")
        )
        self.is_ours_alone = False

    def take(self, alone: bool) -> None:
        """Wait until nobody has it alone and, to have it so, until nobody else has it at all."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)  # who waits for it alone keeps others from taking it meanwhile
        fcntl.flock(self._machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        self.is_ours_alone = alone

    def leave(self) -> None:
        """Let others have it."""
        fcntl.flock(self._machine, fcntl.LOCK_UN)
        self.is_ours_alone = False

"""Takes at most so many frames a second."""

from daemon.clock import NS_PER_S


class FrameRate:
    """Says of each frame, by its time, whether it is taken; without a limit every one is."""

    def __init__(self, fps: float | None) -> None:
        self._period_ns = int(NS_PER_S / fps) if fps else 0
        self._next_ns: int | None = None

    def takes(self, at_ns: int) -> bool:
        """Whether the frame of this time is taken; a sixth of a period too early still is, against jitter."""
        if self._next_ns is None:
            self._next_ns = at_ns
        if at_ns < self._next_ns - self._period_ns // 6:
            if at_ns > self._next_ns - 2 * self._period_ns:
                return False
            self._next_ns = at_ns  # the stream's time has begun anew
        self._next_ns = max(self._next_ns, at_ns - self._period_ns) + self._period_ns
        return True

"""What both gates have in common: easier to keep open than to open, and open a while longer. No clock."""


class Hysteresis:
    """Opens when a measure reaches `open_at`, stays open while it is at least `close_at`, and `hold_ns` longer."""

    def __init__(self, open_at: float, close_at: float, hold_ns: int) -> None:
        self._open_at, self._close_at = open_at, close_at
        self.hold_ns = hold_ns
        self.is_open = False
        self._active_ns = 0

    def take(self, measure: float, at_ns: int) -> bool:
        """Whether the gate is open for what was measured at `at_ns`; instants must not go back."""
        if measure >= (self._close_at if self.is_open else self._open_at):
            self.is_open, self._active_ns = True, at_ns
        elif at_ns - self._active_ns >= self.hold_ns:
            self.is_open = False
        return self.is_open

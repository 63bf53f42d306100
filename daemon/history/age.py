"""The age of the history: how many seconds have passed, whatever the clock of the machine says. Pure.

A board without a battery starts with a wrong clock, which jumps when the network is there. So while the daemon runs,
the monotonic clock counts. The time between two runs is that between the latest wall time of the run before and the
wall time at the start; a clock that was set back gives 0.
"""

from dataclasses import dataclass

from daemon.core.timing import NS_PER_S


@dataclass(slots=True)
class Age:
    """Gives the age, in seconds. `wall_s` is the latest wall time that was ever seen."""

    _begun_s: float
    _begun_ns: int
    wall_s: float

    @classmethod
    def of_start(cls, stored: tuple[float, float] | None, now_s: float, now_ns: int) -> "Age":
        """Return the age at a start. `stored` has the age and `wall_s` of the run before; None: there was none."""
        at_s, wall_s = stored if stored is not None else (0.0, now_s)
        return cls(at_s + max(0.0, now_s - wall_s), now_ns, max(wall_s, now_s))

    def at(self, now_s: float, now_ns: int) -> float:
        """Return the age at an instant, and note its wall time."""
        self.wall_s = max(self.wall_s, now_s)
        return self._begun_s + (now_ns - self._begun_ns) / NS_PER_S

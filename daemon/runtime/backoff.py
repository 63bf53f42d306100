"""How long to wait before the next try: longer each time, up to a cap, and never in step with others."""

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Waits that double from `first_s` up to `longest_s`, each cut to a random half to whole of itself."""

    first_s: float
    longest_s: float
    failures: int = 0

    def next_s(self) -> float:
        """The next wait in seconds."""
        whole_s: float = min(self.longest_s, self.first_s * 2 ** min(self.failures, 32))
        self.failures += 1
        return whole_s * random.uniform(0.5, 1.0)  # noqa: S311  (spreads load, keeps no secret)

    def reset(self) -> None:
        """It works again: the next wait is a short one."""
        self.failures = 0

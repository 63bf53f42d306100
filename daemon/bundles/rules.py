"""Which bundle is tried, and whether it does as well as the one before; pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a bundle does: moments since it took over; errors, latencies and best scores over the latest of them."""

    moments: int
    errors: int
    p99_ms: float | None
    mean_top_score: float | None

"""Capture times of segments, and the pace at which they are played. Pure."""

from collections import deque

from daemon.core.timing import NS_PER_S
from daemon.sources.stamping import DriftMeter

# The smallest difference of so many segments counts. More of them would follow a drifting clock too late.
SEGMENTS = 8

# The delay is what the slowest of so many segments needed.
DELAY_SEGMENTS = 4

# Stamps follow a better known arrival by this part of the time, so that neither picture nor sound jumps.
SLEW = 0.02

# What waits longer than necessary is played faster by this part, until it has caught up.
CATCH_UP = 0.25

# Times of segments that follow each other differ by less. More is a discontinuity.
JUMP_NS = NS_PER_S

# Presentation times of MPEG-TS have 33 bits, at 90 kHz.
WRAP_NS = 2**33 * NS_PER_S // 90_000


class SegmentClock:
    """Converts presentation times to capture times: what a segment ends with was captured when the segment arrived.

    Capture time = presentation time + offset. The offset is the smallest difference between the arrival of a segment
    and the presentation time of its end, over the last SEGMENTS segments.
    A recording has no arrival. Its first picture is captured when it is played, and the others at their distance to it.
    """

    def __init__(self) -> None:
        self._differences_ns: deque[int] = deque(maxlen=SEGMENTS)
        self._meter = DriftMeter()
        self._offset_ns: float | None = None
        self._start_ns = 0
        self._end_ns = 0
        self._latest_ns = 0
        # how often the presentation times have wrapped
        self.turns = 0

    @property
    def drift_ppm(self) -> float | None:
        """The drift of the stream's clock in parts per million, above 0 where it is fast. None: not known yet."""
        return self._meter.ppm

    @property
    def start_ns(self) -> int:
        """Return the capture time of the begin of the segment."""
        return self._start_ns + round(self._offset_ns or 0)

    def continues(self, span_ns: tuple[int, int], missed_ns: int) -> bool:
        """Return whether the times of a segment continue those of the one before.

        `span_ns` are the presentation times of its begin and end. `missed_ns` is how long the segments between were.
        """
        follows_ns = span_ns[0] + self._turns_to(span_ns) * WRAP_NS - self._end_ns
        return self._offset_ns is not None and -JUMP_NS <= follows_ns <= missed_ns + JUMP_NS

    def begin(self, span_ns: tuple[int, int], arrived_ns: int | None, now_ns: int, *, continues: bool) -> None:
        """Begin a segment. `arrived_ns` None: that of a recording."""
        last_ns = self._latest_ns + round(self._offset_ns or 0)
        self.turns = self._turns_to(span_ns) if continues else 0
        self._start_ns, self._end_ns = (at_ns + self.turns * WRAP_NS for at_ns in span_ns)
        if not continues:
            self._differences_ns.clear()
            self._meter = DriftMeter()
            self._latest_ns = self._start_ns
            began_ns = now_ns if arrived_ns is None else arrived_ns - (self._end_ns - self._start_ns)
            # stamps never go back
            self._offset_ns = max(began_ns, last_ns) - self._start_ns
        if arrived_ns is not None:
            self._differences_ns.append(arrived_ns - self._end_ns)
            self._meter.observe(arrived_ns - self._end_ns, arrived_ns)

    def offset_ns(self, at_ns: int) -> int:
        """Return the offset for what ends at `at_ns`, a presentation time without wraps."""
        offset_ns = self._offset_ns or 0.0
        if self._differences_ns:
            most_ns = SLEW * max(0, at_ns - self._latest_ns)
            offset_ns += max(-most_ns, min(most_ns, min(self._differences_ns) - offset_ns))
        self._offset_ns = offset_ns
        self._latest_ns = max(self._latest_ns, at_ns)
        return round(offset_ns)

    def _turns_to(self, span_ns: tuple[int, int]) -> int:
        """Return how many times presentation times have wrapped before a segment that continues the one before."""
        return round((self._end_ns - span_ns[0]) / WRAP_NS)


class Pace:
    """Says when an item is delivered: at its capture time plus a delay.

    A segment needs the time from the capture of its first picture until it was there. The delay is what the slowest of
    the last DELAY_SEGMENTS segments needed, plus a margin. It rises at once. It falls slowly, while items are played
    faster.
    """

    def __init__(self) -> None:
        self._needed_ns: deque[int] = deque(maxlen=DELAY_SEGMENTS)
        self._delay_ns = 0.0
        self._least_ns = 0
        self._last_ns = 0

    def begin(self, captured_ns: int, ready_ns: int, margin_ns: int) -> None:
        """Begin a segment whose first item was captured at `captured_ns`, and that was there at `ready_ns`."""
        self._needed_ns.append(ready_ns - captured_ns)
        self._least_ns = max(0, *self._needed_ns) + margin_ns
        self._delay_ns = max(self._delay_ns, self._least_ns)
        self._last_ns = max(self._last_ns, captured_ns)

    def due_ns(self, captured_ns: int) -> int:
        """Return when to deliver what was captured at `captured_ns`."""
        most_ns = CATCH_UP * max(0, captured_ns - self._last_ns)
        self._delay_ns -= min(most_ns, self._delay_ns - self._least_ns)
        self._last_ns = max(self._last_ns, captured_ns)
        return captured_ns + round(self._delay_ns)

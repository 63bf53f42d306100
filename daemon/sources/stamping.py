"""Ties the clock of a network stream to this machine's, by when its data arrive."""

from daemon.clock import NS_PER_S
from daemon.records import Modality
from daemon.sources.drift import DriftMeter, Minima

WINDOW_S = 30
"""Looks back so far for data that were not held up; a clock 200 ppm slow loses 6 ms meanwhile."""

RISE_PPM = 1000
"""Stamps move on by a millisecond a second at most: no clock is that wrong, and nothing downstream sees a step."""

JUMP_NS = NS_PER_S
"""What is off by more than this is no jitter."""

LATE_NS = 5 * NS_PER_S
"""All that comes being later than JUMP_NS for so long, nothing will catch up any more."""


class ArrivalClock:
    """One clock for all that one stream carries: capture time = presentation time + offset.

    The offset is the smallest difference of arrival and presentation time in the last WINDOW_S seconds in which
    anything came: what arrives later was held up on the way. It falls at once, so that no stamp lies after its arrival,
    and rises slowly. Where the presentation times jump by more than JUMP_NS, or everything stays later than that, the
    stream has begun anew, and so does the clock.
    """

    def __init__(self) -> None:
        self._last_pts_ns: dict[Modality, int] = {}
        self._begin()

    def _begin(self) -> None:
        self._meter = DriftMeter()
        self._minima = Minima(NS_PER_S, WINDOW_S)
        self._offset_ns: int | None = None
        self._observed_ns = 0
        self._late_since_ns: int | None = None

    @property
    def drift_ppm(self) -> float | None:
        """How fast the stream's clock runs against this machine's; None while that is not known."""
        return self._meter.ppm

    def observe(self, modality: Modality, end_pts_ns: int, arrived_ns: int) -> int:
        """Take note that what ended at `end_pts_ns` has arrived; gives the offset."""
        behind_ns = arrived_ns - end_pts_ns
        if self._has_begun_anew(modality, end_pts_ns, arrived_ns):
            self._begin()
        self._last_pts_ns[modality] = end_pts_ns
        self._meter.observe(behind_ns, arrived_ns)
        self._minima.add(behind_ns, arrived_ns)
        least_ns = min(least for _, least in self._minima.points)
        if self._offset_ns is not None:
            rise_ns = max(0, arrived_ns - self._observed_ns) * RISE_PPM // 1_000_000
            least_ns = min(least_ns, self._offset_ns + rise_ns)
        self._offset_ns, self._observed_ns = least_ns, arrived_ns
        return least_ns

    def _has_begun_anew(self, modality: Modality, end_pts_ns: int, arrived_ns: int) -> bool:
        if self._offset_ns is None:
            return False
        late_ns = arrived_ns - end_pts_ns - self._offset_ns
        if late_ns <= JUMP_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = arrived_ns
        stays_late = self._late_since_ns is not None and arrived_ns - self._late_since_ns > LATE_NS
        # picture and sound may lie far apart in one stream: only each by itself goes back
        went_back = end_pts_ns < self._last_pts_ns.get(modality, end_pts_ns) - JUMP_NS
        return stays_late or went_back or late_ns < -JUMP_NS

"""Capture times of a network stream: its presentation times, converted to this machine's clock by the arrival times."""

from daemon.core.records import MODALITIES, Modality
from daemon.core.timing import NS_PER_MS, NS_PER_S
from daemon.sources.stamping import DriftMeter, Minima

# How far back a clock looks for data without delay. A clock 200 ppm slow loses 6 ms in this time.
WINDOW_S = 30

# Stamps rise by at most a millisecond a second. No clock is worse, and the stages after it see no step.
RISE_PPM = 1000

# Presentation times that go back by more, or that run ahead of the clock by more, have begun anew.
JUMP_NS = NS_PER_S

# Picture and sound share one offset while their own offsets differ by at most this.
# Above that, the later one of them would be too old for fusion: a bundle may drop what is older than 500 ms.
UNTIE_NS = 400 * NS_PER_MS

# They share one offset again at this difference. The gap to UNTIE_NS keeps jitter from switching to and fro.
TIE_NS = 350 * NS_PER_MS

# A modality whose data are all older than UNTIE_NS on arrival, for this long, will not catch up.
LATE_NS = 4 * NS_PER_S


class ArrivalClock:
    """The clock of one modality of a stream: capture time = presentation time + offset.

    The offset is the smallest difference between arrival and presentation time in the last WINDOW_S seconds with data.
    It falls at once, so that no stamp is after its arrival, and rises slowly.
    The clock starts again when presentation times jump by more than JUMP_NS.
    """

    def __init__(self) -> None:
        self._last_pts_ns: int | None = None
        self._late_since_ns: int | None = None
        self.observed_ns = 0
        self.restart()

    def restart(self) -> None:
        """Forget everything: the next data begin a new timeline."""
        self._meter = DriftMeter()
        self._minima = Minima(NS_PER_S, WINDOW_S)
        self._offset_ns: int | None = None
        self._late_since_ns = None

    @property
    def drift_ppm(self) -> float | None:
        """The drift of the clock in parts per million, above 0 where it is fast. None: not known yet."""
        return self._meter.ppm

    def observe(self, end_pts_ns: int, arrived_ns: int) -> int:
        """Add the arrival of data that end at `end_pts_ns`. Return the offset."""
        difference_ns = arrived_ns - end_pts_ns
        if self._has_jumped(end_pts_ns, difference_ns):
            self.restart()
        self._meter.observe(difference_ns, arrived_ns)
        self._minima.add(difference_ns, arrived_ns)
        least_ns = min(least for _, least in self._minima.points)
        if self._offset_ns is not None:
            rise_ns = max(0, arrived_ns - self.observed_ns) * RISE_PPM // 1_000_000
            least_ns = min(least_ns, self._offset_ns + rise_ns)
        self._offset_ns, self._last_pts_ns, self.observed_ns = least_ns, end_pts_ns, arrived_ns
        return least_ns

    def offset_at(self, now_ns: int) -> int | None:
        """Return the offset, or None if no data came in the last WINDOW_S seconds."""
        return self._offset_ns if now_ns - self.observed_ns <= WINDOW_S * NS_PER_S else None

    def stays_late(self, age_ns: int, arrived_ns: int) -> bool:
        """Note how old data are on arrival. Return whether all have been older than UNTIE_NS for LATE_NS."""
        if age_ns <= UNTIE_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = arrived_ns
        return self._late_since_ns is not None and arrived_ns - self._late_since_ns >= LATE_NS

    def _has_jumped(self, end_pts_ns: int, difference_ns: int) -> bool:
        if self._offset_ns is None or self._last_pts_ns is None:
            return False
        return end_pts_ns < self._last_pts_ns - JUMP_NS or difference_ns < self._offset_ns - JUMP_NS


class StreamClock:
    """The clock of a stream: an arrival clock for its picture, and one for its sound.

    The two are tied while their offsets differ by at most UNTIE_NS. Then both use the smaller offset, so that picture
    and sound of one instant have one stamp. A step in one of the two timelines unties them, and each uses its own.
    """

    def __init__(self) -> None:
        self._clocks: dict[Modality, ArrivalClock] = {}
        self._is_tied = True

    @property
    def drift_ppm(self) -> float | None:
        """The drift of the stream's clock in parts per million, above 0 where it is fast. None: not known yet."""
        drifts = (self._clocks[modality].drift_ppm for modality in MODALITIES if modality in self._clocks)
        return next((ppm for ppm in drifts if ppm is not None), None)

    def observe(self, modality: Modality, end_pts_ns: int, arrived_ns: int) -> int:
        """Add the arrival of data that end at `end_pts_ns`. Return the offset of this modality."""
        clock = self._clocks.setdefault(modality, ArrivalClock())
        offset_ns = self._common_ns(modality, clock.observe(end_pts_ns, arrived_ns), arrived_ns)
        if not clock.stays_late(arrived_ns - end_pts_ns - offset_ns, arrived_ns):
            return offset_ns
        clock.restart()
        return self._common_ns(modality, clock.observe(end_pts_ns, arrived_ns), arrived_ns)

    def _common_ns(self, modality: Modality, own_ns: int, now_ns: int) -> int:
        """Return the smallest offset if the modalities are tied, else the own offset of this one."""
        others = [clock.offset_at(now_ns) for each, clock in self._clocks.items() if each != modality]
        offsets = [own_ns, *(offset_ns for offset_ns in others if offset_ns is not None)]
        self._is_tied = max(offsets) - min(offsets) <= (UNTIE_NS if self._is_tied else TIE_NS)
        return min(offsets) if self._is_tied else own_ns

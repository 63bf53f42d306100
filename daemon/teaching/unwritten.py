"""Background and peaks that wait in memory, so that many of them are one commit: a card wears out by commits."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from daemon.core.errors import TeachingError
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S
from daemon.teaching.blobs import differ, encoders_from
from daemon.teaching.records import BackgroundMoment, Peak
from daemon.teaching.store import TeachingStore
from daemon.teaching.stored import Row, background_from, moment_columns, peak_columns, peak_from

# A process that is killed loses so much. It can be gathered again.
WRITE_EVERY_NS = 3600 * NS_PER_S

MOST = 200


class Unwritten:
    """Used by the thread `teaching`. `counters` counts as dropped what could not be stored.

    What waits is packed: with `home` an hour of it has about 150 kB, and MOST of it 600 kB.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._background: list[Row] = []
        self._peaks: list[Row] = []
        self._since_ns: int | None = None

    def add_background(self, moment: BackgroundMoment) -> None:
        """Take a moment of background."""
        with self._skipped("background"):
            self._background.append(moment_columns(moment, is_packed=True))

    def add_peak(self, peak: Peak) -> None:
        """Take the peak of an event that has ended."""
        with self._skipped("peak"):
            self._peaks.append(peak_columns(peak))

    def counts(self, encoders: Mapping[str, str], stored: Mapping[str, int]) -> dict[str, int]:
        """Return how many moments of each stream these encoders have made, with those that are `stored`."""
        found = dict(stored)
        for stream, _taken_s, made_by, _moments in self._background:
            if not differ(encoders_from(made_by), encoders):
                found[str(stream)] = found.get(str(stream), 0) + 1
        return found

    def write_due(self, store: TeachingStore, now_ns: int, *, is_urgent: bool) -> None:
        """Store what waits, if it is much or has waited for long, or `is_urgent`. Raises TeachingError."""
        if not (self._background or self._peaks):
            self._since_ns = None
            return
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        is_much = len(self._background) + len(self._peaks) >= MOST
        if is_urgent or is_much or now_ns - self._since_ns >= WRITE_EVERY_NS:
            self.write(store)

    def write(self, store: TeachingStore) -> None:
        """Store everything that waits, but for what is invalid. Raises TeachingError when the disk fails.

        Then nothing of it is stored, and it waits no longer.
        """
        background, self._background = self._background, []
        peaks, self._peaks = self._peaks, []
        self._since_ns = None
        if not (background or peaks):
            return
        try:
            with store.together():
                for row in background:
                    with self._skipped("background"):
                        store.add_background(background_from(row))
                for row in peaks:
                    with self._skipped("peak"):
                        store.add_peak(peak_from(row))
        except TeachingError:
            self._drop("background", len(background))
            self._drop("peak", len(peaks))
            raise

    @contextmanager
    def _skipped(self, reason: str) -> Iterator[None]:
        """Count what cannot be stored as dropped: the rest does without it. An error of the disk is raised."""
        try:
            yield
        except TeachingError as error:
            if error.kind not in ("invalid", "limit"):
                raise
            self._counters.drop(reason)

    def _drop(self, reason: str, count: int) -> None:
        if count > 0:
            self._counters.drop(reason, count)

"""Gathers the background of the live streams: moments of the place in which nothing taught happens."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from daemon.core.errors import InputError
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S, wall_seconds
from daemon.node.teaching_input import TeachingInput
from daemon.teaching import gathering
from daemon.teaching.gathering import Gathering
from daemon.teaching.records import BackgroundMoment
from daemon.teaching.store import TeachingStore
from daemon.teaching.unwritten import Unwritten

# what is encoded for one moment; of what it gives, the last moment counts
WINDOW_NS = NS_PER_S

# older input is none: its source delivers nothing
STALE_NS = 3 * NS_PER_S


@dataclass(slots=True)
class _Place:
    """The gathering of one stream, and its moments that have not settled, by their instants."""

    gathering: Gathering
    moments: dict[int, BackgroundMoment] = field(default_factory=dict)


class Background:
    """Gathers the background of all live streams. Used by the thread `teaching`.

    `counters` counts as dropped the moments that could not be encoded or stored. `unwritten` has those that wait to
    be stored.
    """

    def __init__(self, live: TeachingInput, counters: Counters) -> None:
        self._live, self._counters = live, counters
        self.unwritten = Unwritten(counters)
        self._encoders: Mapping[str, str] = {}
        self._openings = 0
        self._places: dict[str, _Place] = {}

    def show(self, stream: str, start_ns: int, end_ns: int) -> None:
        """Note that somebody shows something in a stream in this time."""
        if (place := self._places.get(stream)) is not None:
            place.gathering = gathering.show(place.gathering, start_ns, end_ns)

    def look(self, store: TeachingStore, labels: Collection[str], now_ns: int) -> bool:
        """Take the moments that are due; return whether there are others now. `labels` are the taught ones.

        Raises TeachingError when the disk fails.
        """
        has_changed = (self._live.bundle.encoders, store.openings) != (self._encoders, self._openings)
        if has_changed:
            self._begin(store)
        for stream, place in self._places.items():
            is_open = not self._live.open_labels(stream).isdisjoint(labels)
            place.gathering = gathering.follow_events(place.gathering, is_open, now_ns)
            if not self._live.is_paused(stream):
                self._take(stream, place, now_ns)
            has_changed |= self._settle(place, now_ns)
        return has_changed

    def _begin(self, store: TeachingStore) -> None:
        """Begin anew with the encoders of the active bundle, and with what is stored of them."""
        self.unwritten.write(store)
        self._encoders, self._openings = self._live.bundle.encoders, store.openings
        self._places = {
            stream: _Place(
                gathering.initial(
                    store.background_by_hour(stream, self._encoders), of_lines=stream in self._live.text_alone
                )
            )
            for stream in sorted(self._live.streams)
        }

    def _take(self, stream: str, place: _Place, now_ns: int) -> None:
        newest_ns = self._live.newest_ns(stream)
        if newest_ns is None or now_ns - newest_ns > STALE_NS or newest_ns in place.moments:
            return
        taken_s = wall_seconds(newest_ns)
        hour = time.localtime(taken_s).tm_hour
        if newest_ns == place.gathering.latest_ns or not gathering.is_due(place.gathering, newest_ns, hour):
            return
        try:
            shown = self._live.show(stream, newest_ns - WINDOW_NS, newest_ns)
        except InputError:
            self._counters.drop("background_not_encoded")
            return
        if not shown.showing.moments:
            return
        vectors = shown.showing.moments[-1].vectors
        place.moments[newest_ns] = BackgroundMoment(stream, taken_s, shown.encoders, vectors)
        place.gathering = gathering.take(place.gathering, newest_ns, hour)

    def _settle(self, place: _Place, now_ns: int) -> bool:
        place.gathering, settled = gathering.settle(place.gathering, now_ns)
        waiting = {each.at_ns for each in place.gathering.waiting}
        moments, place.moments = place.moments, {at: each for at, each in place.moments.items() if at in waiting}
        for at_ns in settled:
            self.unwritten.add_background(moments[at_ns])
        return bool(settled)

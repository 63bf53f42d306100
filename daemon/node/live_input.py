"""The live streams of a running node, as teaching uses them."""

from collections.abc import Mapping
from itertools import chain
from operator import attrgetter

from daemon.core.records import Counters
from daemon.node.active_bundle import ActiveBundle
from daemon.node.peaks import PeakQueue
from daemon.node.stream import Stream
from daemon.node.stream_publisher import PublishedBundle
from daemon.node.teaching_input import Lateness, Shown, TaughtOnto, taught_onto
from daemon.pipeline.recent import Window
from daemon.teaching.records import Peak

# a slow encoder has so long, on a board that is busy with its live streams
ENCODE_S = 8.0

# the queue of what teaching encodes; no stream has a slash in its name
QUEUE = "/teaching"


class LiveInput:
    """The live streams of a node. Implements TeachingInput, for the thread `teaching`."""

    def __init__(
        self,
        streams: Mapping[str, Stream],
        active: ActiveBundle,
        queue: PeakQueue | None,
        text_alone: frozenset[str],
        counters: Counters,
    ) -> None:
        """`counters` counts as dropped the inputs that could not be encoded."""
        self._streams = {name: stream for name, stream in streams.items() if stream.is_live}
        self._active, self._queue, self._text_alone = active, queue, text_alone
        self._counters = counters
        self._bundle: TaughtOnto | None = None
        self._of: PublishedBundle | None = None

    @property
    def streams(self) -> frozenset[str]:
        """The live streams."""
        return frozenset(self._streams)

    @property
    def text_alone(self) -> frozenset[str]:
        """The live streams that have text, and neither pictures nor sound."""
        return self._text_alone

    @property
    def bundle(self) -> TaughtOnto:
        """The active bundle."""
        active = self._active.bundle
        if self._bundle is None or self._of is not active:
            bundle = self._active.recogniser.bundle
            self._bundle = taught_onto(bundle.manifest, bundle.directory, active.fingerprints)
            self._of = active
        return self._bundle

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of sound that the active bundle takes; None: it takes no sound."""
        return self._active.recogniser.bundle.manifest.sample_rate_hz

    def is_paused(self, stream: str) -> bool:
        """Return whether a stream is paused."""
        return self._streams[stream].switch.paused

    def newest_ns(self, stream: str) -> int | None:
        """Return the end of the newest input of a stream; None: it has captured nothing lately."""
        recent = self._streams[stream].recent
        return None if recent is None else max(recent.newest_ns().values(), default=None)

    def lateness(self, stream: str) -> Lateness:
        """Return how late the input of a stream comes."""
        recent = self._streams[stream].recent
        return Lateness(self._streams[stream].delay_ns, 0 if recent is None else recent.late_ns)

    def open_labels(self, stream: str) -> frozenset[str]:
        """Return the labels whose events are open in a stream."""
        peaks = self._streams[stream].peaks
        return frozenset() if peaks is None else peaks.open_labels

    def open_peaks(self) -> list[Peak]:
        """Return the highest moments so far of the open events of all streams; the latest event comes last."""
        found = [stream.peaks.open_peaks() for stream in self._streams.values() if stream.peaks is not None]
        return sorted(chain.from_iterable(found), key=attrgetter("taken_s"))

    def ended_peaks(self) -> list[Peak]:
        """Return the highest moments of the events that have ended since the last call."""
        return [] if self._queue is None else self._queue.take()

    def near_misses(self) -> list[Peak]:
        """Return the highest moments since the last call at which no event started."""
        return [] if self._queue is None else self._queue.take_near_misses()

    def show(self, stream: str, start_ns: int, end_ns: int) -> Shown:
        """Return what a stream captured in this interval; see TeachingInput."""
        recent = self._streams[stream].recent
        window = Window([], start_ns, end_ns) if recent is None else recent.window(start_ns, end_ns)
        return self._encoded(window)

    def show_again(self, window: Window) -> Shown:
        """Return what a stored example shows; see TeachingInput."""
        return self._encoded(window)

    def _encoded(self, window: Window) -> Shown:
        showing, fingerprints = self._active.encode(window, QUEUE, ENCODE_S)
        if showing.failed:
            self._counters.drop("input_not_encoded", showing.failed)
        return Shown(showing, fingerprints)

"""Fetches the segments of an HLS stream, in a thread of its own."""

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.core.errors import SourceError
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.sources.hls.fetch import Fetcher
from daemon.sources.hls.playlist import Resource
from daemon.sources.hls.position import Listed
from daemon.sources.hls.segment import Contents, contents_of
from daemon.sources.hls.watch import PlaylistWatch
from daemon.sources.http.connection import Stopped

MAX_HEADER_BYTES = 2**20

# 10 s at 25 Mbit/s. Three segments are in memory at most: one is played, one waits, and one is fetched.
MAX_SEGMENT_BYTES = 32 * 2**20

# A segment that cannot be fetched so often is left out, if a later one can be fetched.
TRIES = 3

# A request ends 0.2 s after it is stopped. Only the resolution of a name may take longer.
CLOSE_S = 5.0

# How often the thread looks whether the player has taken the segment that waits.
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Fetched:
    """A segment that was there at `ready_ns`.

    `missed_ns`: how long the segments before it were that are lost. `starts_anew`: its times do not continue those
    before. `arrived_ns` None: that of a recording.
    """

    number: int
    data: bytes = field(repr=False)
    contents: Contents
    arrived_ns: int | None
    ready_ns: int
    missed_ns: int
    starts_anew: bool


class Download:
    """Fetches what the playlist names, one segment ahead of the player.

    `missed` are the counters of the senses that a lost segment is missing from.
    `load_failure`: why the playlist cannot be loaded, None if it can.
    """

    def __init__(
        self, url: str, watch: PlaylistWatch, label: str, missed: Sequence[Counters], timeout_s: float
    ) -> None:
        self._watch = watch
        self._label = label
        self._missed = missed
        self._pending: deque[Listed] = deque()
        self._header: tuple[Resource, bytes] | None = None
        self._tries = 0
        self._must_load = False
        # of the segments that were left out before the next one
        self._missed_ns = 0
        self._starts_anew = False
        self._ready: queue.Queue[Fetched] = queue.Queue(maxsize=1)
        self.load_failure: Exception | None = None
        self._fetch_failure: Exception | None = None
        self._has_finished = False
        self._stop = threading.Event()
        self._fetcher = Fetcher(url, label, timeout_s, self._stop)
        self._thread = threading.Thread(target=self._run, name="hls-segments", daemon=True)

    @property
    def failure(self) -> Exception | None:
        """Return why nothing comes, None if no request fails."""
        return self.load_failure or self._fetch_failure

    @property
    def has_finished(self) -> bool:
        """Return whether no further segment will come."""
        return self._has_finished and self._ready.empty()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread. A request that is under way ends soon."""
        self._stop.set()
        self._thread.join(CLOSE_S)

    def next(self, timeout_s: float) -> Fetched | None:
        """Return the next segment, or None when there is none within `timeout_s`."""
        try:
            return self._ready.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self._has_finished:
                self._step()
        except Stopped:
            pass  # nobody waits for what is under way
        except Exception as error:  # noqa: BLE001  (the player raises it)
            self.load_failure = error
        finally:
            self._fetcher.close()
            self._has_finished = True

    def _step(self) -> None:
        """Load the playlist if that is due, or else fetch a segment, or else wait."""
        watch = self._watch
        if not watch.has_ended and monotonic_ns() >= watch.next_load_ns:
            self._load()
        elif self._pending and not self._must_load and not self._ready.full():
            self._fetch_first()
        elif watch.has_ended and not self._pending:
            self._has_finished = True
        else:
            wait_s = LOOK_S if watch.has_ended else seconds_until(watch.next_load_ns)
            self._stop.wait(min(wait_s, LOOK_S) if self._pending else wait_s)

    def _load(self) -> None:
        try:
            self._pending.extend(self._watch.load(self._fetcher))
        except SourceError as error:
            self.load_failure = error
        else:
            self.load_failure = None
            self._must_load = False

    def _fetch_first(self) -> None:
        """Fetch the first segment that is pending."""
        listed = self._pending[0]
        fetched = None
        try:
            fetched = None if listed.segment.is_gap else self._fetched(listed)
        except SourceError as error:
            self._fetch_failure = error
            self._tries += 1
            if not self._is_lost():
                self._try_again_later()
                return
        self._pending.popleft()
        self._tries = 0
        self._count(listed.missed)
        if fetched is None:
            self._count(1)
            self._missed_ns += listed.segment.duration_ns + listed.missed * self._watch.target_ns
            self._starts_anew |= listed.starts_anew
            return
        self._fetch_failure = None
        self._missed_ns, self._starts_anew = 0, False
        self._ready.put(fetched)

    def _is_lost(self) -> bool:
        """Return whether the first segment cannot be fetched although the server works."""
        if self._tries < TRIES:
            return False
        if len(self._pending) == 1:
            return self._watch.has_ended
        try:
            self._fetched(self._pending[-1])
        except SourceError:
            return False
        return True

    def _try_again_later(self) -> None:
        # a server that fails is not asked for the segment before it answers for the playlist
        self._must_load = not self._watch.has_ended
        self._watch.next_load_ns = monotonic_ns() + self._watch.step_ns
        if self._watch.has_ended:
            self._stop.wait(self._watch.step_ns / NS_PER_S)

    def _fetched(self, listed: Listed) -> Fetched:
        """Return the segment with its content. Raises SourceError when it cannot be fetched or read."""
        segment = listed.segment
        data = self._header_of(listed) + self._fetcher.fetch(segment.resource, MAX_SEGMENT_BYTES).content
        try:
            contents = contents_of(data)
        except SourceError as error:
            raise SourceError(f"{self._label}: {error}") from None
        missed_ns = self._missed_ns + listed.missed * self._watch.target_ns
        starts_anew = self._starts_anew or listed.starts_anew
        return Fetched(segment.number, data, contents, listed.arrived_ns, monotonic_ns(), missed_ns, starts_anew)

    def _header_of(self, listed: Listed) -> bytes:
        header = listed.segment.header
        if header is None:
            return b""
        # a server that begins anew may give other content under the same name
        if self._header is None or self._header[0] != header or listed.starts_anew:
            self._header = (header, self._fetcher.fetch(header, MAX_HEADER_BYTES).content)
        return self._header[1]

    def _count(self, segments: int) -> None:
        for counters in self._missed if segments else ():
            counters.drop("missed_segment", segments)

"""Loads the playlist of an HLS stream whenever a new segment is expected."""

import logging

from daemon.core.errors import SourceError
from daemon.core.records import Modality
from daemon.core.timing import NS_PER_S, monotonic_ns
from daemon.sources.hls.fetch import Fetcher
from daemon.sources.hls.playlist import MediaPlaylist, Resource, Variant, choose_variant, parse_playlist
from daemon.sources.hls.position import Listed, Position

MAX_PLAYLIST_BYTES = 2**20

# While a segment is expected, the playlist is loaded once in a 16th of the target duration, within these limits.
# So the arrival of a segment is known to half a second or better.
STEP_PART = 16
MIN_STEP_NS, MAX_STEP_NS = NS_PER_S // 10, NS_PER_S // 2

log = logging.getLogger(__name__)


class PlaylistWatch:
    """The playlist of a stream, and when to load it next.

    `target_ns` is its target duration. `has_ended`: it is complete, and is not loaded any more.
    """

    def __init__(self, url: str, label: str, position: Position, used: frozenset[Modality]) -> None:
        self._configured = self._media = Resource(url)
        self._label = label
        self._position = position
        self._used = used
        self._changed_ns = 0
        self.target_ns = NS_PER_S
        self.next_load_ns = 0
        self.has_ended = False

    @property
    def step_ns(self) -> int:
        """The time between two loads while a segment is expected."""
        return min(MAX_STEP_NS, max(MIN_STEP_NS, self.target_ns // STEP_PART))

    def load(self, fetcher: Fetcher) -> list[Listed]:
        """Load the playlist. Return the segments that are new.

        Raises SourceError when it cannot be loaded or played. Then the next load begins at the configured URL.
        """
        self.next_load_ns = monotonic_ns() + MAX_STEP_NS
        try:
            playlist = self._media_playlist(fetcher)
        except SourceError:
            self._media = self._configured
            raise
        now_ns = monotonic_ns()
        self.target_ns = playlist.target_ns
        self.has_ended = playlist.has_ended
        new = self._position.take(playlist, now_ns)
        self.next_load_ns = now_ns + self._wait_ns(new, now_ns)
        return new

    def _wait_ns(self, new: list[Listed], now_ns: int) -> int:
        """Return how long to wait for the next load."""
        if new or not self._changed_ns:
            self._changed_ns = now_ns
        if new:
            return max(self.step_ns, new[-1].segment.duration_ns - self.step_ns)
        # a server that is late is asked half as often as its segments should come, as RFC 8216 says
        is_late = now_ns - self._changed_ns > 2 * self.target_ns
        return self.target_ns // 2 if is_late else self.step_ns

    def _media_playlist(self, fetcher: Fetcher) -> MediaPlaylist:
        loaded = self._loaded(fetcher)
        if isinstance(loaded, tuple):
            self._media = self._chosen(loaded).resource
            loaded = self._loaded(fetcher)
        if isinstance(loaded, tuple):
            raise SourceError(f"{self._label}: its playlists name playlists of playlists")
        return loaded

    def _chosen(self, variants: tuple[Variant, ...]) -> Variant:
        variant = choose_variant(variants, "image" in self._used)
        if "audio" in self._used and variant.has_separate_sound:
            log.warning("%s: the sound has a playlist of its own, which is not supported", self._label)
        return variant

    def _loaded(self, fetcher: Fetcher) -> MediaPlaylist | tuple[Variant, ...]:
        file = fetcher.fetch(self._media, MAX_PLAYLIST_BYTES)
        try:
            loaded = parse_playlist(file.content.decode("utf-8", "replace"), file.url)
        except SourceError as error:
            raise SourceError(f"{self._label}: {error}") from None
        if isinstance(loaded, MediaPlaylist):
            # a redirect is followed once, because each may begin a session at the server
            self._media = Resource(file.url, file.url)
        return loaded

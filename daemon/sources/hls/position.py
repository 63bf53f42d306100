"""Says which segments of a playlist come next. Pure; its state outlives a reconnect."""

from dataclasses import dataclass, replace

from daemon.core.timing import NS_PER_S
from daemon.sources.hls.playlist import MediaPlaylist, Segment

# After an interruption this much is played, or three segments if they are longer. After a longer interruption the
# newest segment is next, because the older ones are of no use.
MAX_BACKLOG_NS = 30 * NS_PER_S
MIN_BACKLOG = 3

# A cache in front of the server may answer with a playlist that is up to this many segments old.
STALE_SEGMENTS = 2

# A playlist that stays behind for so many target durations is that of a server that has begun anew.
STALE_TARGETS = 3


@dataclass(frozen=True, slots=True)
class Listed:
    """A segment to be played next, and when it was first seen in the playlist.

    `missed` counts the segments before it that nobody can have any more.
    `starts_anew`: its times do not continue those before. `arrived_ns` None: a recording, which was there before.
    """

    segment: Segment
    arrived_ns: int | None
    missed: int = 0
    starts_anew: bool = False


class Position:
    """The position in a stream: no segment comes twice, all come in their order, none is left out without need.

    A live stream begins with the first segment that appears after opening, because only its arrival is known.
    A recording (a playlist with an end) begins with its first segment.
    """

    def __init__(self) -> None:
        self._taken: int | None = None
        self._played: int | None = None
        self._is_recording = False
        self._starts_anew = False
        self._behind_since_ns: int | None = None
        # the segments of the last playlist by number, with their arrival
        self._known: dict[int, tuple[Segment, int]] = {}

    def mark_played(self, number: int) -> None:
        """Note that the segment is being played. It is not played again."""
        self._played = number

    def rewind(self) -> None:
        """Go back to the segment after the last played one."""
        self._taken = self._played

    def take(self, playlist: MediaPlaylist, now_ns: int) -> list[Listed]:
        """Return the segments that are new in a playlist that was loaded at `now_ns`."""
        segments = playlist.segments
        if not segments:
            return []
        if self._taken is None:
            self._is_recording = playlist.has_ended
            self._move_to(segments[0].number - 1 if self._is_recording else segments[-1].number)
        elif self._has_restarted(playlist, now_ns):
            self._starts_anew = True
            self._is_recording = playlist.has_ended
            segments = self._later(segments)
            self._known = {}
            self._move_to(segments[0].number - 1 if segments else playlist.segments[-1].number)
        self._learn(playlist.segments, now_ns)
        new = [segment for segment in segments if self._taken is not None and segment.number > self._taken]
        return self._listed(new) if new else []

    def _listed(self, new: list[Segment]) -> list[Listed]:
        recent = new if self._is_recording else _recent(new)
        missed = recent[0].number - (self._taken or 0) - 1
        self._taken = recent[-1].number
        listed = [Listed(segment, self._arrived_ns(segment), 0, segment.starts_anew) for segment in recent]
        starts_anew = self._starts_anew or any(segment.starts_anew for segment in new[: len(new) - len(recent) + 1])
        self._starts_anew = False
        return [replace(listed[0], missed=missed, starts_anew=starts_anew), *listed[1:]]

    def _move_to(self, number: int) -> None:
        self._taken = self._played = number

    def _arrived_ns(self, segment: Segment) -> int | None:
        return None if self._is_recording else self._known[segment.number][1]

    def _learn(self, segments: tuple[Segment, ...], now_ns: int) -> None:
        """Remember the segments. One that was there when the next one began had arrived by then at the latest."""
        known: dict[int, tuple[Segment, int]] = {}
        latest_ns = now_ns
        for segment in reversed(segments):
            arrived_ns = min(latest_ns, self._known.get(segment.number, (segment, latest_ns))[1])
            known[segment.number] = (segment, arrived_ns)
            latest_ns = arrived_ns - segment.duration_ns
        self._known = known

    def _has_restarted(self, playlist: MediaPlaylist, now_ns: int) -> bool:
        """Return whether the numbers have begun anew. Dates tell, where the server gives them."""
        newest, taken = playlist.segments[-1].number, self._taken or 0
        pairs = [
            (segment, self._known[segment.number][0]) for segment in playlist.segments if segment.number in self._known
        ]
        dates = [(new.dated_ns, old.dated_ns) for new, old in pairs]
        moved_ns = [abs(new - old) for new, old in dates if new is not None and old is not None]
        if moved_ns:
            # a server that has begun anew gives the number to a segment that is at least one later
            return max(moved_ns) > playlist.target_ns // 2
        if self._is_later_than_known(playlist.segments[-1]):
            return True
        if newest >= taken:
            self._behind_since_ns = None
            return False
        if newest < taken - STALE_SEGMENTS or any(_name(new) != _name(old) for new, old in pairs):
            return True
        if self._behind_since_ns is None:
            self._behind_since_ns = now_ns
        return now_ns - self._behind_since_ns > STALE_TARGETS * playlist.target_ns

    def _is_later_than_known(self, segment: Segment) -> bool:
        """Return whether a segment is dated after a known one, though its number is lower."""
        known, _ = self._known[max(self._known)]
        if segment.dated_ns is None or known.dated_ns is None:
            return False
        return segment.number < known.number and segment.dated_ns > known.dated_ns

    def _later(self, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """Return the segments of a server that has begun anew, without those dated before what was taken."""
        dates = [segment.dated_ns for segment, _ in self._known.values() if segment.number <= (self._taken or 0)]
        last_ns = max((date for date in dates if date is not None), default=None)
        self._behind_since_ns = None
        if last_ns is None:
            return segments
        return tuple(segment for segment in segments if segment.dated_ns is None or segment.dated_ns > last_ns)


def _recent(new: list[Segment]) -> list[Segment]:
    """Return all of the segments, or the last one where they are too many to be of use."""
    is_backlog = len(new) > MIN_BACKLOG and sum(segment.duration_ns for segment in new) > MAX_BACKLOG_NS
    return new[-1:] if is_backlog else new


def _name(segment: Segment) -> tuple[str, tuple[int, int] | None]:
    """Return what a segment is called, without the folders and the query, where a session's token may stand."""
    return segment.resource.reference.partition("?")[0].rpartition("/")[2], segment.resource.byte_range

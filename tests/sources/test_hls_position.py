"""Which segments come next: examples, and properties for every sequence of events at the server."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.core.timing import NS_PER_S
from daemon.sources.hls.playlist import MediaPlaylist, Resource, Segment
from daemon.sources.hls.position import MAX_BACKLOG_NS, Listed, Position

WINDOW = 5


@dataclass
class Server:
    """A live server. A segment has an identity that never comes again, and a number that begins anew at a restart."""

    is_dated: bool = False
    first: int = 1000
    count: int = WINDOW
    offset: int = 0
    now_ns: int = 100 * NS_PER_S

    def appear(self, count: int) -> None:
        self.count += count
        self.now_ns += count * NS_PER_S

    def restart(self) -> None:
        self.offset, self.first, self.count = self.offset + self.count, 0, 0

    def playlist(self, *, behind: int = 0, has_ended: bool = False) -> MediaPlaylist:
        end = max(0, self.count - behind)
        segments = tuple(self._segment(index) for index in range(max(0, end - WINDOW), end))
        return MediaPlaylist(NS_PER_S, segments, has_ended)

    def _segment(self, index: int) -> Segment:
        number = self.first + index
        dated_ns = self.identity(number) * NS_PER_S if self.is_dated else None
        return Segment(number, Resource(f"http://host/{number}.ts"), NS_PER_S, dated_ns=dated_ns)

    def identity(self, number: int) -> int:
        return self.offset + number - self.first


@dataclass
class Client:
    """Loads and plays as the camera does."""

    server: Server
    position: Position = field(default_factory=Position)
    pending: list[tuple[int, Listed]] = field(default_factory=list)
    played: list[int] = field(default_factory=list)

    def load(self, behind: int = 0) -> None:
        listed = self.position.take(self.server.playlist(behind=behind), self.server.now_ns)
        self.pending += [(self.server.identity(one.segment.number), one) for one in listed]

    def play(self, count: int) -> None:
        for identity, listed in self.pending[:count]:
            self.position.mark_played(listed.segment.number)
            self.played.append(identity)
        del self.pending[:count]

    def reconnect(self) -> None:
        self.pending.clear()
        self.position.rewind()


APPEAR = st.tuples(st.just("appear"), st.integers(1, 2))
LOAD = st.tuples(st.just("load"), st.just(0))
STALE = st.tuples(st.just("load"), st.integers(1, 2))
PLAY = st.tuples(st.just("play"), st.integers(1, 3))
RECONNECT = st.tuples(st.just("reconnect"), st.just(0))
RESTART = st.tuples(st.just("restart"), st.integers(0, 1))


def _follow(server: Server, events: list[tuple[str, int]], *, is_whole: bool = True) -> None:
    """Let the events happen, and check what is played and what waits. `is_whole`: nothing may be left out."""
    client = Client(server)
    client.load()
    opened = server.identity(server.first + server.count) - 1
    lowest = 0
    for event, count in events:
        if event == "appear":
            server.appear(count)
        elif event == "load":
            client.load(count)
        elif event == "play":
            client.play(count)
        elif event == "reconnect":
            client.reconnect()
        else:
            server.restart()
            # what the server had is gone
            client.pending.clear()
            if count:
                client.reconnect()
            lowest = server.offset
        come = client.played + [identity for identity, _ in client.pending]
        assert come == sorted(set(come)), "no segment comes twice, and all come in their order"
        if is_whole and event == "load" and not count:
            offered = {server.identity(segment.number) for segment in server.playlist().segments}
            newest = max(client.played, default=opened)
            needed = {identity for identity in offered if identity > max(newest, opened) and identity >= lowest}
            assert needed <= set(come), "none is left out"


@given(st.booleans(), st.lists(st.one_of(APPEAR, LOAD, STALE, PLAY, RECONNECT), max_size=40))
def test_no_segment_comes_twice_or_is_left_out(is_dated: bool, events: list[tuple[str, int]]) -> None:
    _follow(Server(is_dated), events)


@example([*[("appear", 1)] * 4, ("load", 0), ("restart", 1), ("appear", 1), ("load", 0)])
@example([*[("appear", 1)] * 5, ("load", 0), ("restart", 1), ("appear", 2), ("load", 0)])
@example([("restart", 0), ("appear", 1), ("load", 0)] * 2)
@example([("restart", 0), ("appear", 2), ("appear", 1), ("load", 0)])  # the numbers are no lower than before
@given(st.lists(st.one_of(APPEAR, LOAD, PLAY, RECONNECT, RESTART), max_size=40))
def test_with_dates_a_restart_changes_nothing_of_that(events: list[tuple[str, int]]) -> None:
    _follow(Server(is_dated=True, first=0, count=2), events)


@given(st.lists(st.one_of(APPEAR, LOAD, PLAY, RECONNECT, RESTART), max_size=40))
def test_without_dates_no_segment_comes_twice_after_a_restart(events: list[tuple[str, int]]) -> None:
    _follow(Server(), events, is_whole=False)


def taken(position: Position, server: Server) -> list[int]:
    return [listed.segment.number for listed in position.take(server.playlist(), server.now_ns)]


def test_a_live_stream_begins_with_the_next_segment() -> None:
    position, server = Position(), Server()
    assert taken(position, server) == []
    server.appear(1)
    assert taken(position, server) == [1005]
    assert taken(position, server) == []


def test_a_recording_begins_with_its_first_segment() -> None:
    position, server = Position(), Server()
    listed = position.take(server.playlist(has_ended=True), 0)
    assert [one.segment.number for one in listed] == [1000, 1001, 1002, 1003, 1004]
    assert {one.arrived_ns for one in listed} == {None}
    assert position.take(server.playlist(has_ended=True), 0) == []


def test_after_a_reconnect_it_goes_on_after_what_was_played() -> None:
    position, server = Position(), Server()
    taken(position, server)
    server.appear(3)
    assert taken(position, server) == [1005, 1006, 1007]
    position.mark_played(1005)
    position.rewind()
    assert taken(position, server) == [1006, 1007]


def test_what_appeared_together_arrived_one_after_the_other() -> None:
    position, server = Position(), Server()
    position.take(server.playlist(), server.now_ns)
    server.appear(3)
    listed = position.take(server.playlist(), server.now_ns)
    assert [server.now_ns - (one.arrived_ns or 0) for one in listed] == [2 * NS_PER_S, NS_PER_S, 0]


def test_the_first_sight_of_a_segment_counts_even_if_it_is_played_later() -> None:
    position, server = Position(), Server()
    taken(position, server)
    server.appear(1)
    seen_ns = server.now_ns
    taken(position, server)
    position.rewind()
    server.appear(1)
    server.now_ns += 5 * NS_PER_S
    assert [one.arrived_ns for one in position.take(server.playlist(), server.now_ns)] == [seen_ns, server.now_ns]


def test_segments_that_have_left_the_playlist_are_missed() -> None:
    position, server = Position(), Server()
    taken(position, server)
    server.appear(WINDOW + 2)
    listed = position.take(server.playlist(), server.now_ns)
    assert [one.missed for one in listed] == [2, 0, 0, 0, 0]


@pytest.mark.parametrize(("count", "first"), [(3, 1), (4, 4), (50, 50)])
def test_after_a_long_break_the_newest_segment_is_next(count: int, first: int) -> None:
    position = Position()
    segments = tuple(Segment(number, Resource(f"{number}.ts"), MAX_BACKLOG_NS // 3 + 1) for number in range(count + 1))
    position.take(MediaPlaylist(NS_PER_S, segments[:1], False), 0)
    listed = position.take(MediaPlaylist(NS_PER_S, segments, False), NS_PER_S)
    assert [one.segment.number for one in listed] == list(range(first, count + 1))
    assert listed[0].missed == first - 1


def test_numbers_that_begin_anew_are_a_new_stream() -> None:
    position, server = Position(), Server()
    taken(position, server)
    server.restart()
    server.appear(2)
    listed = position.take(server.playlist(), server.now_ns)
    assert [(one.segment.number, one.starts_anew) for one in listed] == [(0, True), (1, False)]


def test_a_new_stream_begins_after_what_was_played_according_to_the_dates() -> None:
    position, server = Position(), Server(is_dated=True)
    taken(position, server)
    server.appear(1)
    assert taken(position, server) == [1005]
    server.appear(2)
    renumbered = tuple(replace(one, number=one.number - 1000) for one in server.playlist().segments)
    listed = position.take(MediaPlaylist(NS_PER_S, renumbered, False), server.now_ns)
    assert [(one.segment.number, one.starts_anew) for one in listed] == [(6, True), (7, False)]


@pytest.mark.parametrize("is_dated", [False, True])
def test_an_old_playlist_from_a_cache_is_no_new_stream(is_dated: bool) -> None:
    position, server = Position(), Server(is_dated)
    taken(position, server)
    server.appear(2)
    assert taken(position, server) == [1005, 1006]
    assert position.take(server.playlist(behind=2), server.now_ns) == []
    server.appear(1)
    assert taken(position, server) == [1007]


def test_a_playlist_that_stays_behind_is_a_new_stream() -> None:
    position, server = Position(), Server()
    taken(position, server)
    server.appear(1)
    taken(position, server)
    old = server.playlist(behind=1)
    assert position.take(old, server.now_ns) == []
    assert position.take(old, server.now_ns + 3 * NS_PER_S) == []
    assert [one.segment.number for one in position.take(old, server.now_ns + 4 * NS_PER_S)] == list(range(1000, 1005))


def test_folders_and_tokens_of_a_session_are_no_part_of_the_name() -> None:
    position, server = Position(), Server()
    taken(position, server)
    server.appear(1)
    taken(position, server)
    old = server.playlist(behind=1)
    moved = tuple(
        replace(one, resource=Resource(f"http://cdn/session9/{one.number}.ts?token=9")) for one in old.segments
    )
    assert position.take(MediaPlaylist(NS_PER_S, moved, False), server.now_ns) == []


def test_a_discontinuity_before_a_missed_segment_counts() -> None:
    position, server = Position(), Server()
    position.take(server.playlist(), 0)
    server.appear(2)
    segments = server.playlist().segments
    changed = MediaPlaylist(NS_PER_S, (*segments[:-1], replace(segments[-1], starts_anew=True)), False)
    assert [one.starts_anew for one in position.take(changed, 0)] == [False, True]

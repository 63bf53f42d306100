"""What the thread `history` does each round: it records events, and does what people ask for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from daemon.config.history import HistoryConfig
from daemon.core.errors import HistoryError
from daemon.core.records import Counters
from daemon.core.timing import NS_PER_S, wall_seconds
from daemon.history.records import KeptEvent
from daemon.history.ring import MediaRing
from daemon.history.store import HistoryStore
from daemon.node.history_disk import HistoryDisk
from daemon.node.history_following import Followed, clip_times
from daemon.node.history_inbox import Delete, HistoryInbox, HistoryRequest
from daemon.node.history_recording import Recording, kept_event
from daemon.node.history_topics import SnapshotTopics

# So many events are recorded at the same time, with a file each. Another one is kept without clip and snapshot.
MAX_CLIPS = 16

# how often the oldest events go, beside after each event that ends
TIDY_NS = 60 * NS_PER_S


class KeptSink(Protocol):
    """Gets an event when it begins, when it ends, when its clip is complete, and when a person changes it."""

    def __call__(self, event: KeptEvent, /) -> None:
        """Take an event on the thread `history`. Must not block."""


@dataclass(frozen=True, slots=True)
class HistoryInput:
    """What the thread `history` takes of the live streams.

    `rings` has those with a camera, a microphone or a recording. `heard` are those of them that have sound.
    """

    inbox: HistoryInbox
    rings: Mapping[str, MediaRing]
    heard: Collection[str]


class HistoryWork:
    """Records the events of all live streams. Used by the thread `history`; every call may wait for the disk.

    `counters` counts as dropped: `event_disk`, events for which there was no room; `clip_busy`, events without a clip
    because too many were recorded at the same time; `clip_disk`, events whose clip and snapshot the disk has refused;
    `clip_cut`, clips in which something is missing.
    """

    def __init__(
        self,
        config: HistoryConfig,
        taken: HistoryInput,
        disk: HistoryDisk,
        topics: SnapshotTopics,
        counters: Counters,
        on_kept: KeptSink | None = None,
    ) -> None:
        self._before_ns, self._after_ns = round(config.before_s * NS_PER_S), round(config.after_s * NS_PER_S)
        self._drops_speech = config.speech == "drop"
        self._inbox, self._rings, self._heard = taken.inbox, taken.rings, taken.heard
        self._disk = disk
        self._topics = topics
        self._counters = counters
        self._on_kept = on_kept
        self._recordings: dict[str, Recording] = {}
        # events that are open and not kept
        self._missed: set[str] = set()
        # ids of the events that are handed to `on_kept` after the commit
        self._news: dict[str, None] = {}
        self._tidy_ns = 0

    def begin(self) -> None:
        """Remove snapshots from the broker that are not published any more."""
        self._topics.begin()

    def look(self, requests: Sequence[HistoryRequest], now_ns: int) -> None:
        """Do one round."""
        for ring in self._rings.values():
            ring.encode_pictures()
        events = self._inbox.take()
        store = self._disk.look(now_ns)
        if store is None:
            self._miss(events)
            _refuse(requests, HistoryError("disk", self._disk.problem or "the history is not open"))
            return
        waiting = self._obey(store, requests)
        self._follow(store, events, now_ns)
        self._record(store, now_ns)
        self._commit(store, waiting, now_ns)

    def close(self, requests: Sequence[HistoryRequest], now_ns: int) -> None:
        """End all clips and events, and close the store."""
        self.look(requests, now_ns)
        store = self._disk.store
        if store is not None:
            for recording in self._recordings.values():
                if recording.event.ended_ns is None:  # fusion has not ended in time
                    ended = replace(recording.event, ended_ns=now_ns, ended_by="stopped")
                    recording.follow(ended, clip_times(ended, self._before_ns, self._after_ns))
            self._record(store, now_ns, is_last=True)
            self._commit(store, (), now_ns)
        self._disk.close()
        self._topics.close()

    def _obey(self, store: HistoryStore, requests: Sequence[HistoryRequest]) -> Sequence[HistoryRequest]:
        """Do what people ask for; return the requests that wait for the commit."""
        waiting = []
        for request in requests:
            change = request.change
            if isinstance(change, Delete):
                self._forget(change.event)
            try:
                change.apply(store)
            except HistoryError as error:
                request.answer(error)
            else:
                waiting.append(request)
                self._news[change.event] = None
        return waiting

    def _forget(self, event: str) -> None:
        """Stop the recording of an event that is being deleted."""
        recording = self._recordings.pop(event, None)
        if recording is not None:
            recording.abandon()
            self._missed.add(event)
        self._topics.forget(event)

    def _follow(self, store: HistoryStore, events: Sequence[Followed], now_ns: int) -> None:
        self._missed &= {event.id for event in events}
        for event in events:
            recording = self._recordings.get(event.id)
            if recording is not None:
                recording.follow(event, clip_times(event, self._before_ns, self._after_ns))
            elif event.id not in self._missed:
                self._begin(store, event, now_ns)

    def _begin(self, store: HistoryStore, event: Followed, now_ns: int) -> None:
        started_s = wall_seconds(event.started_ns - event.delay_ns)
        try:
            paths = store.begin(kept_event(event, started_s))
        except HistoryError as error:
            self._disk.note(error.kind, str(error), now_ns)
            self._miss([event])
            return
        ring, times = self._rings.get(event.stream), clip_times(event, self._before_ns, self._after_ns)
        if ring is not None and sum(each.is_clip_open for each in self._recordings.values()) >= MAX_CLIPS:
            self._counters.drop("clip_busy")
            ring = None
        with_sound = event.stream in self._heard
        recording = Recording(event, times, started_s, paths, ring, with_sound=with_sound)
        self._recordings[event.id] = recording
        self._news[event.id] = None

    def _record(self, store: HistoryStore, now_ns: int, *, is_last: bool = False) -> None:
        """Write what was captured, and end the clips and events that are over; in the last round end all."""
        for recording in list(self._recordings.values()):
            try:
                recording.take(now_ns)
                if recording.is_clip_open and (is_last or now_ns >= recording.times.due_ns):
                    recording.close_clip(drops_sound=self._drops_speech and self._heard_speech(recording))
            except OSError as error:
                self._lose(recording, error, now_ns)
            is_to_keep = recording.event.ended_ns is not None and not (recording.is_clip_open and recording.is_ended)
            if is_to_keep and not self._keep(store, recording, now_ns):
                continue  # the next round tries again
            self._publish(recording)
            if recording.event.ended_ns is not None and not recording.is_clip_open:
                del self._recordings[recording.event.id]

    def _heard_speech(self, recording: Recording) -> bool:
        """Return whether speech was recognised during the clip, which may begin a key picture early."""
        return self._inbox.heard_speech(recording.event.stream, recording.begins_ns, recording.times.until_ns)

    def _keep(self, store: HistoryStore, recording: Recording, now_ns: int) -> bool:
        """Keep an event that has ended, and once more with its clip when that has ended too.

        Return whether it is done with: the disk has not refused it.
        """
        try:
            kept = recording.ended()
        except OSError as error:
            self._lose(recording, error, now_ns)
            kept = recording.kept()
        try:
            store.finish(kept, clip_follows=recording.is_clip_open)
        except HistoryError as error:
            if error.kind == "unknown":  # somebody has deleted it meanwhile
                recording.abandon()
                return True
            self._disk.note(error.kind, str(error), now_ns)
            return False
        if kept.clip is not None and kept.clip.is_cut:
            self._counters.drop("clip_cut")
        self._news[kept.id] = None
        self._tidy_ns = now_ns
        return True

    def _publish(self, recording: Recording) -> None:
        """Publish the snapshot soon after the start, and at the end if the peak is another one."""
        event = recording.event
        is_first = recording.published_ns is None
        if not self._topics.is_on or recording.published_ns == event.peak_ns:
            return
        if not is_first and event.ended_ns is None:
            return
        snapshot = recording.snapshot()
        if snapshot is not None:
            self._topics.publish(event.stream, event.id, snapshot)
            recording.published_ns = event.peak_ns

    def _commit(self, store: HistoryStore, waiting: Sequence[HistoryRequest], now_ns: int) -> None:
        """Commit the round, and answer those who wait for it."""
        try:
            is_due = now_ns >= self._tidy_ns
            if is_due:
                self._tidy_ns = now_ns + TIDY_NS
                store.tidy()
            store.commit()
            if is_due or waiting or self._news:
                self._disk.count()
        except HistoryError as error:
            self._disk.note(error.kind, str(error), now_ns)
            _refuse(waiting, error)
            return
        for request in waiting:
            request.answer()
        news, self._news = self._news, {}
        if self._on_kept is not None and news:
            for event in self._disk.events(news):
                self._on_kept(event)

    def _lose(self, recording: Recording, error: OSError, now_ns: int) -> None:
        """Keep an event without its clip and snapshot, which the disk has refused."""
        recording.abandon()
        self._counters.drop("clip_disk")
        self._disk.note("disk", f"a clip could not be kept: {error.strerror or type(error).__name__}", now_ns)

    def _miss(self, events: Sequence[Followed]) -> None:
        """Count events that are not kept, once each."""
        for event in events:
            if event.id not in self._missed:
                self._counters.drop("event_disk")
            if event.ended_ns is None:
                self._missed.add(event.id)


def _refuse(requests: Sequence[HistoryRequest], error: HistoryError) -> None:
    for request in requests:
        request.answer(error)

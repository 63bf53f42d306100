"""Follows the events of one stream for the history: where each was strongest, when its clip begins and ends. Pure."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from daemon.core.records import EndedBy, Event, Modality, Recognition
from daemon.core.timing import NS_PER_S
from daemon.fusion.events import EventSettings, shares_of
from daemon.fusion.fuse import Fused
from daemon.history.records import MAX_CLIP_NS
from daemon.node.history_peak import HistoryPeak, picture_ns

# whoever asks for `speech: drop` means this label
SPEECH = "speech"

# An event starts after its label has scored high for a while. Its peak may be one of so many moments before.
MAX_RECENT = 32
RECENT_NS = 2 * NS_PER_S

# So many ended events of a stream wait for the thread `history`, beside those that it has begun to record.
MAX_ENDED = 64

# After its end a clip waits so long for packets that are under way, and for what is recognised in them: speech that is
# recognised later leaves its sound in the clip.
SETTLE_NS = 2 * NS_PER_S

# speech is remembered for the longest clip and a slow disk, in at most so many passages
SPEECH_NS = 2 * MAX_CLIP_NS
MAX_PASSAGES = 256

# nothing is captured after an event that ends for such a reason
NOTHING_AFTER: frozenset[EndedBy] = frozenset({"paused", "stopped", "reload", "restart"})


@dataclass(frozen=True, slots=True)
class Followed:
    """An event as far as it has come.

    `peak` is its highest score as published. `peak_ns` is the moment at which its label scored highest, and `shares`
    are those of that moment. `picture_ns` is when its picture was captured.
    `delay_ns` is how long after its capture the stream's input is recognised by design.
    """

    id: str
    stream: str
    label: str
    bundle: str
    started_ns: int
    delay_ns: int
    peak_ns: int
    picture_ns: int
    peak: float
    shares: Mapping[Modality, float]
    ended_ns: int | None = None
    ended_by: EndedBy | None = None


@dataclass(frozen=True, slots=True)
class ClipTimes:
    """When a clip begins, when it ends as far as is known, and at `due_ns` everything of it has come that will come."""

    begin_ns: int
    until_ns: int
    due_ns: int


def clip_times(event: Followed, before_ns: int, after_ns: int) -> ClipTimes:
    """Return the times of an event's clip, which is at most `MAX_CLIP_NS` long."""
    begin_ns = event.started_ns - before_ns
    longest_ns = begin_ns + MAX_CLIP_NS
    if event.ended_ns is None:
        return ClipTimes(begin_ns, longest_ns, longest_ns + SETTLE_NS)
    if event.ended_by in NOTHING_AFTER:
        return ClipTimes(begin_ns, min(event.ended_ns, longest_ns), event.ended_ns)
    until_ns = min(event.ended_ns + after_ns, longest_ns)
    return ClipTimes(begin_ns, until_ns, until_ns + SETTLE_NS)


@dataclass(slots=True)
class _Open:
    """An open event, and its peak. `is_taken`: the thread `history` knows of it."""

    event: Event
    bundle: str
    peak: HistoryPeak
    settings: EventSettings
    delay_ns: int
    is_taken: bool = False

    def followed(self, stream: str) -> Followed:
        event, best = self.event, self.peak.recognition
        return Followed(
            id=event.id,
            stream=stream,
            label=event.label,
            bundle=self.bundle,
            started_ns=event.started_ns,
            delay_ns=self.delay_ns,
            peak_ns=event.started_ns if best is None else best.moment.time_ns,
            picture_ns=event.started_ns if best is None else picture_ns(best, self.settings),
            peak=event.peak,
            shares=event.shares if best is None else shares_of(best.shares, self.peak.index, self.settings),
            ended_ns=event.time_ns if event.phase == "end" else None,
            ended_by=event.ended_by,
        )


@dataclass(slots=True)
class Speech:
    """When speech was recognised in a stream: passages in their order, and since when it goes on."""

    passages: deque[tuple[int, int]] = field(default_factory=deque)
    since_ns: int | None = None

    def add(self, start_ns: int, end_ns: int) -> None:
        """Note a passage; one that touches the latest one is part of it."""
        if self.passages and start_ns <= self.passages[-1][1]:
            last_start, last_end = self.passages.pop()
            start_ns, end_ns = min(start_ns, last_start), max(end_ns, last_end)
        self.passages.append((start_ns, end_ns))
        while self.passages[0][1] < end_ns - SPEECH_NS:
            self.passages.popleft()
        if len(self.passages) > MAX_PASSAGES:  # a pause between two of them then counts as speech
            (first, _), (_, second) = self.passages.popleft(), self.passages.popleft()
            self.passages.appendleft((first, second))

    def was_heard(self, start_ns: int, end_ns: int) -> bool:
        """Return whether there was speech between two instants."""
        goes_on = self.since_ns is not None and self.since_ns < end_ns
        return goes_on or any(start < end_ns and end > start_ns for start, end in self.passages)


class StreamFollowing:
    """Follows the events of one stream. Its calls must not overlap."""

    def __init__(self, stream: str, excluded: Collection[str], *, hears_speech: bool) -> None:
        """`excluded` are labels whose events are not followed. `hears_speech`: note when speech is recognised."""
        self._stream = stream
        self._excluded = excluded
        self._hears_speech = hears_speech
        self._speech = Speech()
        self._speech_index: int | None = None
        self._settings: EventSettings | None = None
        self._recent: deque[Recognition] = deque(maxlen=MAX_RECENT)
        self._open: dict[str, _Open] = {}
        self._ended: list[Followed] = []

    def observe(self, bundle: str, settings: EventSettings, fused: Fused, delay_ns: int) -> int:
        """Take the results of one step of fusion under a bundle; return how many events were dropped.

        `settings` are those of the bundle's events in this stream: the same object until another bundle takes over.
        """
        if settings is not self._settings:
            self._settings = settings
            self._speech_index = settings.labels.index(SPEECH) if SPEECH in settings.labels else None
            self._recent.clear()
        for recognition in fused.recognitions:
            self._recent.append(recognition)
            for each in self._open.values():
                if each.settings is settings:
                    each.peak.consider(recognition)
            if self._hears_speech and self._speech_index is not None:
                self._listen(recognition, self._speech_index, settings)
        return sum(self._follow(event, bundle, settings, delay_ns) for event in fused.events)

    def take(self) -> Sequence[Followed]:
        """Return the events that have ended since the last call, and then those that are open."""
        taken, self._ended = self._ended, []
        for each in self._open.values():
            each.is_taken = True
            taken.append(each.followed(self._stream))
        return taken

    def heard_speech(self, start_ns: int, end_ns: int) -> bool:
        """Return whether speech was recognised between two instants."""
        return self._speech.was_heard(start_ns, end_ns)

    def _follow(self, event: Event, bundle: str, settings: EventSettings, delay_ns: int) -> int:
        if self._hears_speech and event.label == SPEECH:
            self._note_speech(event)
        if event.phase == "start":
            if event.label not in self._excluded:
                self._begin(event, bundle, settings, delay_ns)
            return 0
        followed = self._open.get(event.id)
        if followed is None:
            return 0
        followed.event = event
        if event.phase == "update":
            return 0
        del self._open[event.id]
        if len(self._ended) >= MAX_ENDED and not followed.is_taken:
            return 1
        self._ended.append(followed.followed(self._stream))
        return 0

    def _begin(self, event: Event, bundle: str, settings: EventSettings, delay_ns: int) -> None:
        started = _Open(event, bundle, HistoryPeak(settings.labels.index(event.label)), settings, delay_ns)
        self._open[event.id] = started
        for recognition in self._recent:
            if recognition.moment.time_ns >= event.started_ns - RECENT_NS:
                started.peak.consider(recognition)

    def _listen(self, recognition: Recognition, index: int, settings: EventSettings) -> None:
        """Note what a recognition of speech was made from, if the label scored high enough to start an event."""
        if recognition.scores[index] >= settings.start[index]:
            moment = recognition.moment
            starts = [embedding.start_ns for embedding in moment.embeddings.values()]
            self._speech.add(min([*starts, moment.time_ns]), moment.time_ns)

    def _note_speech(self, event: Event) -> None:
        if event.phase == "end":
            self._speech.since_ns = None
            self._speech.add(event.started_ns, event.time_ns)
        else:
            self._speech.since_ns = event.started_ns

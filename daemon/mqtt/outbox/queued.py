"""The events of the outbox that are queued to be sent and not acknowledged yet, and where the store has them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from daemon.mqtt.outbox.entries import Entry, leading

# Events whose latest step the store has not noted; each has one step here.
MAX_UNNOTED = 1000

# What the broker acknowledges so soon is not written at all. Its note about open events is written so late.
ACKNOWLEDGED_WITHIN_S, NOTED_WITHIN_S = 2.0, 300.0

# So many steps are in memory alone at most.
MOST_HELD = 20


@dataclass(frozen=True, slots=True)
class Held:
    """Steps of events in memory alone: how many, and for how long the oldest of each kind."""

    count: int
    unsaved_s: float
    unnoted_s: float

    @property
    def may_wait(self) -> bool:
        """Whether nothing of it has to be written now."""
        is_young = self.unsaved_s < ACKNOWLEDGED_WITHIN_S and self.unnoted_s < NOTED_WITHIN_S
        return self.count <= MOST_HELD and is_young


class QueuedEvents:
    """Which events were queued to be sent in this run, and which rows of the store may be removed for them.

    An event is known by the number under which it was queued. Its row has another number if the store was opened after
    events had been numbered and sent without it. Then `numbers_overlap`: a number may be that of a queued event and of
    another row. An acknowledgement of a number that was not queued changes nothing, so the rows of an earlier run are
    safe.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        # when each event was queued that the store has yet to write
        self._unsaved: dict[int, float] = {}
        self._removable: dict[int, int] = {}
        self._unnoted: dict[str, tuple[bool, Entry]] = {}
        self._unnoted_since_s = 0.0
        self.numbers_overlap = False

    def add(self, entries: Iterable[Entry], *, is_saved: bool, now_s: float = 0.0) -> None:
        """Note events that were queued; `is_saved`: the store has them."""
        for entry in entries:
            self._entries[entry.sequence] = entry
            if not is_saved:
                self._unsaved[entry.sequence] = now_s
                self._note_step(entry, now_s)

    def acknowledge(self, numbers: Iterable[int]) -> None:
        """Forget events; the rows of those that are in the store can be removed."""
        for number in numbers:
            entry = self._entries.pop(number, None)
            if entry is not None and number not in self._unsaved:
                self._removable[number] = entry.sequence
            self._unsaved.pop(number, None)
        self._end_overlap()

    def removable(self, most: int | None = None) -> list[int]:
        """Return the numbers of at most so many rows to remove; None: of all."""
        return list(islice(self._removable.values(), most))

    def unsaved(self, most_bytes: int) -> list[Entry]:
        """Return the first events that the store has yet to write, in order: about `most_bytes`, but at least one.

        They are lost when the process ends before.
        """
        return leading(self.all_unsaved, most_bytes)

    @property
    def all_unsaved(self) -> list[Entry]:
        """All events that the store has yet to write, in order."""
        return [self._entries[number] for number in sorted(self._unsaved)]

    def held(self, now_s: float) -> "Held":
        """Return how much is in memory alone, and since when."""
        unsaved_s = now_s - min(self._unsaved.values(), default=now_s)
        unnoted_s = now_s - self._unnoted_since_s if self._unnoted else 0.0
        return Held(len(self._unsaved) + len(self._unnoted), unsaved_s, unnoted_s)

    @property
    def has_removable(self) -> bool:
        """Whether there are rows to remove."""
        return bool(self._removable)

    @property
    def unsaved_count(self) -> int:
        """How many events the store has yet to write."""
        return len(self._unsaved)

    @property
    def saved_count(self) -> int:
        """How many rows of the store are queued or removable."""
        return len(self._entries) - len(self._unsaved) + len(self._removable)

    @property
    def unnoted(self) -> list[Entry]:
        """The latest step of each event that was queued without being written: the store notes which events are open.

        The steps themselves may be acknowledged already.
        """
        return [entry for _is_new, entry in self._unnoted.values()]

    @property
    def is_written(self) -> bool:
        """Whether the store has nothing to write or to remove."""
        return not (self._removable or self._unsaved or self._unnoted)

    def written(self, *, removed: int, saved: int) -> None:
        """Note that the store has done what `unnoted` says, and the first of what `removable` and `unsaved` say."""
        for number in list(islice(self._removable, removed)):
            del self._removable[number]
        for number in sorted(self._unsaved)[:saved]:
            del self._unsaved[number]
        self._unnoted.clear()
        self._end_overlap()

    def forget_event(self, event: str) -> None:
        """Make the store forget that an event is open."""
        self._unnoted[event] = False, Entry(0, "", event, "end", b"")
        self._unnoted_since_s = 0.0

    def lose_store(self) -> None:
        """Note that the store is gone: what is queued must be written to the next one."""
        self._removable.clear()
        self._unsaved = dict.fromkeys(self._entries, 0.0)
        for number in sorted(self._entries):
            self._note_step(self._entries[number], 0.0)

    def change_store(self, offset: int) -> None:
        """Note that another store takes the place of the present one, where each row gets a number higher by `offset`.

        The caller copies the rows that are not removable.
        """
        self._removable.clear()
        self._entries = {number: entry.shifted(offset) for number, entry in self._entries.items()}
        self.numbers_overlap = self.numbers_overlap or (offset > 0 and bool(self._entries))

    def _note_step(self, entry: Entry, now_s: float) -> None:
        if not self._unnoted:
            self._unnoted_since_s = now_s
        is_new, _step = self._unnoted.pop(entry.event, (entry.phase == "start", None))
        if is_new and entry.phase == "end":
            return  # the store has never heard of this event
        self._unnoted[entry.event] = is_new, entry
        if len(self._unnoted) > MAX_UNNOTED:
            del self._unnoted[next(iter(self._unnoted))]

    def _end_overlap(self) -> None:
        if not self._entries and not self._removable:
            self.numbers_overlap = False

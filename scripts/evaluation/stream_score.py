"""Matches events with the digits shown, and measures their delay. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.records import Modality

# An event may start this long after its digit has gone, because sound is recognised once it is complete.
GRACE_S = 0.8


@dataclass(frozen=True, slots=True)
class Shown:
    """One digit in the stream, from `onset_s` to `end_s`, by these modalities."""

    label: str
    onset_s: float
    end_s: float
    modalities: tuple[Modality, ...]


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """One event: when its label started, and when the daemon reported it."""

    label: str
    started_s: float
    reported_s: float


@dataclass(frozen=True, slots=True)
class Score:
    """Digits with the event of each, digits without one, and events without a digit."""

    found: list[tuple[Shown, ReportedEvent]]
    missed: list[Shown]
    false: list[ReportedEvent]

    @property
    def f1(self) -> float:
        """F1: twice the found digits over all digits and all events; 0 if there are none."""
        everything = 2 * len(self.found) + len(self.missed) + len(self.false)
        return 2 * len(self.found) / everything if everything else 0.0

    def of(self, modalities: tuple[Modality, ...]) -> "Score":
        """The score of the digits shown by exactly these modalities, without false events."""
        found = [(digit, event) for digit, event in self.found if digit.modalities == modalities]
        return Score(found, [digit for digit in self.missed if digit.modalities == modalities], [])

    def reported_after_s(self) -> list[float]:
        """Seconds from the onset of each digit to the report of its event."""
        return [event.reported_s - digit.onset_s for digit, event in self.found]

    def started_after_s(self) -> list[float]:
        """Seconds from the onset of each digit to the start of its event."""
        return [event.started_s - digit.onset_s for digit, event in self.found]


def score(shown: Sequence[Shown], events: Sequence[ReportedEvent]) -> Score:
    """Match each digit with the first event of its label that starts in time; an event matches one digit at most."""
    result = Score([], [], [])
    unmatched = sorted(events, key=lambda event: event.started_s)
    for digit in sorted(shown, key=lambda digit: digit.onset_s):
        event = next((event for event in unmatched if _fits(event, digit)), None)
        if event is None:
            result.missed.append(digit)
        else:
            unmatched.remove(event)
            result.found.append((digit, event))
    result.false.extend(unmatched)
    return result


def _fits(event: ReportedEvent, digit: Shown) -> bool:
    return event.label == digit.label and digit.onset_s <= event.started_s <= digit.end_s + GRACE_S

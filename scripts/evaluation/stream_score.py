"""Which events are right, and how long they took, given what was shown when. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.records import Modality

GRACE_S = 0.8
"""An event may start so long after its digit is gone: sound is recognised once it is complete."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One digit in the stream, from `onset_s` to `end_s`, by these modalities."""

    label: str
    onset_s: float
    end_s: float
    modalities: tuple[Modality, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One event: since when its label was there, and when the daemon knew and said so."""

    label: str
    started_s: float
    reported_s: float


@dataclass(frozen=True, slots=True)
class Score:
    """Digits with the event of each, digits without one, and events without a digit."""

    found: list[tuple[Shown, Seen]]
    missed: list[Shown]
    false: list[Seen]

    @property
    def f1(self) -> float:
        """Twice the found over all digits and all events; 0 without any."""
        everything = 2 * len(self.found) + len(self.missed) + len(self.false)
        return 2 * len(self.found) / everything if everything else 0.0

    def of(self, modalities: tuple[Modality, ...]) -> "Score":
        """The digits shown by just these modalities, without the false events, which belong to none."""
        found = [(digit, event) for digit, event in self.found if digit.modalities == modalities]
        return Score(found, [digit for digit in self.missed if digit.modalities == modalities], [])

    def reported_after_s(self) -> list[float]:
        """How long after the digit's onset each event was reported."""
        return [event.reported_s - digit.onset_s for digit, event in self.found]

    def started_after_s(self) -> list[float]:
        """How long after the digit's onset each event started."""
        return [event.started_s - digit.onset_s for digit, event in self.found]


def score(shown: Sequence[Shown], events: Sequence[Seen]) -> Score:
    """Give each digit the first event of its label that starts while it may, each event to one digit at most."""
    result = Score([], [], [])
    left = sorted(events, key=lambda event: event.started_s)
    for digit in sorted(shown, key=lambda digit: digit.onset_s):
        event = next((event for event in left if _fits(event, digit)), None)
        if event is None:
            result.missed.append(digit)
        else:
            left.remove(event)
            result.found.append((digit, event))
    result.false.extend(left)
    return result


def _fits(event: Seen, digit: Shown) -> bool:
    return event.label == digit.label and digit.onset_s <= event.started_s <= digit.end_s + GRACE_S

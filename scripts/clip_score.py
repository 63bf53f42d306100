"""How many digits of the demo clip were recognised, against the clip's own list. Pure functions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GRACE_S = 1.5
"""An event may begin so long after its passage ended: sound and text are recognised once they are complete."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of the clip; `label` is what is to be recognised in it, or None."""

    start_s: float
    end_s: float
    kind: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that began `at_s` seconds after the first pass of the clip began."""

    at_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Score:
    """Digits recognised and digits shown, by the kind of passage, and the events that match no passage."""

    recognised: Counter[str]
    shown: Counter[str]
    unfounded: list[Seen]


def score(passages: Sequence[Passage], clip_s: float, watched_s: float, events: Iterable[Seen]) -> Score:
    """Compare events with the passages that were watched to their end, over as many passes as were watched."""
    result = Score(Counter(), Counter(), [])
    remaining = list(events)
    for passage in _watched(passages, clip_s, watched_s):
        matching = [event for event in remaining if _fits(event, passage)]
        remaining = [event for event in remaining if event not in matching]
        result.shown[passage.kind] += 1
        result.recognised[passage.kind] += bool(matching)
    cut_short = _watched(passages, clip_s, watched_s + clip_s)
    result.unfounded.extend(event for event in remaining if not any(_fits(event, passage) for passage in cut_short))
    return result


def _watched(passages: Sequence[Passage], clip_s: float, watched_s: float) -> list[Passage]:
    """The passages with a label, once per pass, that ended early enough for an event to show."""
    passes = range(int(watched_s // clip_s) + 1)
    all_of_them = [
        Passage(passage.start_s + turn * clip_s, passage.end_s + turn * clip_s, passage.kind, passage.label)
        for turn in passes
        for passage in passages
        if passage.label is not None
    ]
    return [passage for passage in all_of_them if passage.end_s + GRACE_S <= watched_s]


def _fits(event: Seen, passage: Passage) -> bool:
    return event.label == passage.label and passage.start_s <= event.at_s <= passage.end_s + GRACE_S

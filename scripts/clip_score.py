"""Scores the events of a demo run against the list of digits in the demo recording. Pure functions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# An event may begin this long after its passage has ended, because sound and text are recognised once complete.
GRACE_S = 1.5


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of the recording; `label` is the digit to be recognised in it, or None.

    If the senses contradict each other there is no label, and `claims` are the labels of the senses.
    """

    start_s: float
    end_s: float
    kind: str
    label: str | None
    claims: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class EventStart:
    """An event that began `at_s` seconds after the start of the first pass of the recording."""

    at_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Score:
    """Recognised and shown digits by kind of passage, events during contradictions, and all other events."""

    recognised: Counter[str]
    shown: Counter[str]
    contradicted: list[EventStart]
    unfounded: list[EventStart]


def score(passages: Sequence[Passage], clip_s: float, watched_s: float, events: Iterable[EventStart]) -> Score:
    """Compare events with the passages that were watched completely, over as many passes as were watched."""
    result = Score(Counter(), Counter(), [], [])
    remaining = list(events)
    for passage in _watched(passages, clip_s, watched_s):
        matching = [event for event in remaining if _fits(event, passage)]
        remaining = [event for event in remaining if event not in matching]
        result.shown[passage.kind] += 1
        result.recognised[passage.kind] += bool(matching)
    begun = _passes(passages, clip_s, watched_s)
    for event in remaining:
        if any(event.label in passage.claims and _is_during(event, passage) for passage in begun):
            result.contradicted.append(event)
        elif not any(_fits(event, passage) for passage in begun):
            result.unfounded.append(event)
    return result


def _watched(passages: Sequence[Passage], clip_s: float, watched_s: float) -> list[Passage]:
    """The passages with a label, once per pass, that ended early enough for an event to appear."""
    all_of_them = _passes(passages, clip_s, watched_s)
    return [passage for passage in all_of_them if passage.label is not None and passage.end_s + GRACE_S <= watched_s]


def _passes(passages: Sequence[Passage], clip_s: float, watched_s: float) -> list[Passage]:
    """All passages, once for each pass of the recording that has begun."""
    turns = range(int(watched_s // clip_s) + 1)
    return [
        replace(passage, start_s=passage.start_s + turn * clip_s, end_s=passage.end_s + turn * clip_s)
        for turn in turns
        for passage in passages
    ]


def _fits(event: EventStart, passage: Passage) -> bool:
    return event.label == passage.label and _is_during(event, passage)


def _is_during(event: EventStart, passage: Passage) -> bool:
    return passage.start_s <= event.at_s <= passage.end_s + GRACE_S

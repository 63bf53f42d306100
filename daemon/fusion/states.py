"""States: which of several labels that exclude each other holds, such as open, half or closed. Pure functions.

Every moment votes for a state: for the label with the highest score, if that score reaches its threshold. A state
changes when all moments of HOLD_NS, and AGREEING at least, have voted alike. Otherwise the state stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from daemon.core.records import Array
from daemon.core.timing import NS_PER_S

# A passing shadow or a person in front of the camera lasts for less than this, or changes the votes.
HOLD_NS = NS_PER_S

# Sound and text make moments too: the same picture may be in several of them.
AGREEING = 3


@dataclass(frozen=True, slots=True)
class StateGroup:
    """The states of one group. `labels` has the index of each state's label; thresholds have the same order.

    A state takes over at `start`, and holds while its score is at least `end` and the highest of the group.
    """

    name: str
    states: Sequence[str]
    labels: Sequence[int]
    start: Sequence[float]
    end: Sequence[float]


@dataclass(frozen=True, slots=True)
class StateChange:
    """A group has changed its state; `state` None: no state is sure.

    `score` is that of the state. `since_ns` is the first of the moments that voted for the change.
    """

    group: str
    state: str | None
    score: float | None
    since_ns: int


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of the latest moments, which were all for the same state; None: for no state."""

    state: str | None
    score: float | None
    since_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class StatesState:
    """The state of one stream: what is decided of each group, and the latest votes. An undecided group has no entry."""

    decided: Mapping[str, StateChange] = field(default_factory=dict)
    votes: Mapping[str, Votes] = field(default_factory=dict)


def add_scores(
    state: StatesState, scores: Array | None, at_ns: int, groups: Sequence[StateGroup]
) -> tuple[StatesState, list[StateChange]]:
    """Take the scores (L,) of a moment at `at_ns`; None: the moment is empty. Return the new state and the changes."""
    decided, votes = dict(state.decided), dict(state.votes)
    changes: list[StateChange] = []
    for group in groups:
        current = decided.get(group.name)
        vote, score = _vote(group, scores, None if current is None else current.state)
        votes[group.name] = counted = _count(votes.get(group.name), vote, score, at_ns)
        is_agreed = counted.count >= AGREEING and at_ns - counted.since_ns >= HOLD_NS
        if is_agreed and (current is None or current.state != vote):
            decided[group.name] = change = StateChange(group.name, vote, score, counted.since_ns)
            changes.append(change)
    return StatesState(decided, votes), changes


def end_all(state: StatesState, at_ns: int) -> tuple[StatesState, list[StateChange]]:
    """Forget all votes. Return the new state, and the change of each group whose state was known: it is unknown now."""
    known = [name for name, decided in state.decided.items() if decided.state is not None]
    return StatesState(), [StateChange(name, None, None, at_ns) for name in known]


def _vote(group: StateGroup, scores: Array | None, current: str | None) -> tuple[str | None, float | None]:
    """Return the state that a moment votes for, with its score; None: no state is sure."""
    if scores is None:
        return None, None
    found = [float(scores[label]) for label in group.labels]
    best = found.index(max(found))
    name = group.states[best]
    threshold = group.end[best] if name == current else group.start[best]
    return (name, found[best]) if found[best] >= threshold else (None, None)


def _count(votes: Votes | None, vote: str | None, score: float | None, at_ns: int) -> Votes:
    if votes is None or votes.state != vote:
        return Votes(vote, score, at_ns, 1)
    return replace(votes, score=score, count=votes.count + 1)

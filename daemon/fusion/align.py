"""Which embeddings belong together: the latest of each modality, with its age. Pure functions.

A moment becomes due when a modality delivers a fresh embedding or when one expires, and is made at once, or as soon as
the highest rate allows. So no modality can stall another, none is silently stale, and nothing lasts for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.core.records import Embedding, Modality, Moment


@dataclass(frozen=True, slots=True)
class AlignmentSettings:
    """How old an embedding of each modality may be, and how close moments may follow each other."""

    max_age_ns: Mapping[Modality, int]
    min_interval_ns: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """The state of one stream: what is fresh, how far time has come, when the last moment was made."""

    latest: Mapping[Modality, Embedding] = field(default_factory=dict)
    time_ns: int = 0
    made_ns: int | None = None
    pending: bool = False


def deliver(
    state: Alignment, embedding: Embedding, now_ns: int, rules: AlignmentSettings
) -> tuple[Alignment, list[Moment], bool]:
    """Take an embedding at `now_ns`. Gives the new state, the moments made, and whether the embedding was in time.

    It is late, and dropped, when it is older than the modality's latest, or already too old.
    """
    state, moments = advance(state, now_ns, rules)
    newest = state.latest.get(embedding.modality)
    too_old = max(now_ns, state.time_ns) - embedding.end_ns > rules.max_age_ns[embedding.modality]
    if too_old or (newest is not None and embedding.end_ns < newest.end_ns):
        return state, moments, False
    latest = {**state.latest, embedding.modality: embedding}
    state = Alignment(latest, max(state.time_ns, embedding.end_ns), state.made_ns, pending=True)
    state, made = _step(state, now_ns, rules)
    return state, moments + made, True


def advance(state: Alignment, now_ns: int, rules: AlignmentSettings) -> tuple[Alignment, list[Moment]]:
    """Let time pass until `now_ns`. Gives the new state and the moments that fell due on the way."""
    moments: list[Moment] = []
    while (due_ns := next_due_ns(state, rules)) is not None and due_ns <= now_ns:
        state, made = _step(state, due_ns, rules)
        moments += made
    return state, moments


def next_due_ns(state: Alignment, rules: AlignmentSettings) -> int | None:
    """When `advance` next has something to do, or None."""
    due = [_expiry_ns(embedding, rules) for embedding in state.latest.values()]
    if state.pending:
        due.append(_allowed_ns(state, rules))
    return min(due, default=None)


def _step(state: Alignment, at_ns: int, rules: AlignmentSettings) -> tuple[Alignment, list[Moment]]:
    """Drop what has expired by `at_ns`, then make the pending moment if the rate allows it."""
    expired = [expiry for kept in state.latest.values() if (expiry := _expiry_ns(kept, rules)) <= at_ns]
    if expired:
        fresh = {name: kept for name, kept in state.latest.items() if _expiry_ns(kept, rules) > at_ns}
        state = Alignment(fresh, max(state.time_ns, *expired), state.made_ns, pending=True)
    if not state.pending or at_ns < _allowed_ns(state, rules):
        return state, []
    return Alignment(state.latest, state.time_ns, at_ns, pending=False), [Moment(state.time_ns, state.latest)]


def _expiry_ns(embedding: Embedding, rules: AlignmentSettings) -> int:
    """The first instant at which the embedding is older than its modality allows."""
    return embedding.end_ns + rules.max_age_ns[embedding.modality] + 1


def _allowed_ns(state: Alignment, rules: AlignmentSettings) -> int:
    return state.time_ns if state.made_ns is None else state.made_ns + rules.min_interval_ns

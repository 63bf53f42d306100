"""Alignment: collects the latest embedding of each modality into moments. Pure functions.

A moment is due when a modality delivers a new embedding, and when an embedding expires.
It is made at once, or as soon as the maximum rate allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.core.records import Embedding, Modality, Moment


@dataclass(frozen=True, slots=True)
class AlignmentSettings:
    """The maximum age of an embedding of each modality, and the minimum interval between two moments."""

    max_age_ns: Mapping[Modality, int]
    min_interval_ns: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """The state of one stream.

    `latest` has the embeddings that have not expired. `time_ns` is the time of the next moment.
    `made_ns` is when the last moment was made. `pending` says that a moment is due.
    """

    latest: Mapping[Modality, Embedding] = field(default_factory=dict)
    time_ns: int = 0
    made_ns: int | None = None
    pending: bool = False


def deliver(
    state: Alignment, embedding: Embedding, now_ns: int, settings: AlignmentSettings
) -> tuple[Alignment, list[Moment], bool]:
    """Take an embedding at `now_ns`. Return the new state, the moments made, and whether the embedding was in time.

    A late embedding is dropped: one that has expired, or that is older than the latest of its modality.
    """
    state, moments = advance(state, now_ns, settings)
    newest = state.latest.get(embedding.modality)
    has_expired = max(now_ns, state.time_ns) - embedding.end_ns > settings.max_age_ns[embedding.modality]
    if has_expired or (newest is not None and embedding.end_ns < newest.end_ns):
        return state, moments, False
    latest = {**state.latest, embedding.modality: embedding}
    state = Alignment(latest, max(state.time_ns, embedding.end_ns), state.made_ns, pending=True)
    state, made = _step(state, now_ns, settings)
    return state, moments + made, True


def advance(state: Alignment, now_ns: int, settings: AlignmentSettings) -> tuple[Alignment, list[Moment]]:
    """Let time pass until `now_ns`. Return the new state and the moments that were due until then."""
    moments: list[Moment] = []
    while (due_ns := next_due_ns(state, settings)) is not None and due_ns <= now_ns:
        state, made = _step(state, due_ns, settings)
        moments += made
    return state, moments


def next_due_ns(state: Alignment, settings: AlignmentSettings) -> int | None:
    """Return the next instant at which `advance` changes something, or None."""
    due = [_expiry_ns(embedding, settings) for embedding in state.latest.values()]
    if state.pending:
        due.append(_allowed_ns(state, settings))
    return min(due, default=None)


def _step(state: Alignment, at_ns: int, settings: AlignmentSettings) -> tuple[Alignment, list[Moment]]:
    """Drop the embeddings that have expired by `at_ns`, then make the pending moment if the rate allows it."""
    expiries = {modality: _expiry_ns(embedding, settings) for modality, embedding in state.latest.items()}
    expired = [expiry_ns for expiry_ns in expiries.values() if expiry_ns <= at_ns]
    if expired:
        fresh = {modality: embedding for modality, embedding in state.latest.items() if expiries[modality] > at_ns}
        state = Alignment(fresh, max(state.time_ns, *expired), state.made_ns, pending=True)
    if not state.pending or at_ns < _allowed_ns(state, settings):
        return state, []
    return Alignment(state.latest, state.time_ns, at_ns, pending=False), [Moment(state.time_ns, state.latest)]


def _expiry_ns(embedding: Embedding, settings: AlignmentSettings) -> int:
    """Return the first instant at which the embedding is older than its modality allows."""
    return embedding.end_ns + settings.max_age_ns[embedding.modality] + 1


def _allowed_ns(state: Alignment, settings: AlignmentSettings) -> int:
    return state.time_ns if state.made_ns is None else state.made_ns + settings.min_interval_ns

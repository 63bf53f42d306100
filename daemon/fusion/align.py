"""Alignment: collects the latest embedding of each encoder into moments. Pure functions.

A moment is due when an encoder delivers a new embedding, and when an embedding expires.
It is made at once, or as soon as the maximum rate allows.

A slow encoder loses nothing. An embedding that was fresh when it was queued, and has exceeded its maximum age since, is
in one moment. The encoder is not missed until a further embedding could be there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from daemon.core.records import Embedding, Moment
from daemon.core.timing import NS_PER_S

# An embedding that has waited for longer is late: its encoder hung, or the program was suspended.
LONGEST_WAIT_NS = 30 * NS_PER_S


@dataclass(frozen=True, slots=True)
class AlignmentSettings:
    """The maximum age of an embedding of each encoder, and the minimum interval between two moments."""

    max_age_ns: Mapping[str, int]
    min_interval_ns: int


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest embedding of an encoder.

    It is in every moment before `expires_ns`, and in one moment in any case (`is_new`: it has been in none).
    From `missed_ns` on its encoder is missed, which makes a moment.
    """

    embedding: Embedding
    expires_ns: int
    missed_ns: int
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Alignment:
    """The state of one stream.

    `latest` has the encoders that are not missed. `newest_ns` has the end of the newest embedding of each encoder,
    missed or not. `time_ns` is the time of the next moment. `made_ns` is when the last moment was made. `pending` says
    that a moment is due.
    """

    latest: Mapping[str, Latest] = field(default_factory=dict)
    newest_ns: Mapping[str, int] = field(default_factory=dict)
    time_ns: int = 0
    made_ns: int | None = None
    pending: bool = False


def deliver(
    state: Alignment, embedding: Embedding, now_ns: int, settings: AlignmentSettings
) -> tuple[Alignment, list[Moment], bool]:
    """Take an embedding at `now_ns`. Return the new state, the moments made, and whether the embedding was in time.

    A late embedding is dropped. It is late if its input was too old when it was queued, or if it has waited for longer
    than LONGEST_WAIT_NS. One that is older than another of its encoder before it is late too.
    """
    state, moments = advance(state, now_ns, settings)
    waited_ns = 0 if embedding.taken_ns is None else now_ns - embedding.taken_ns
    age_ns, max_age_ns = max(now_ns, state.time_ns) - embedding.end_ns, settings.max_age_ns[embedding.encoder]
    is_late = age_ns - waited_ns > max_age_ns or waited_ns > LONGEST_WAIT_NS
    if is_late or embedding.end_ns < state.newest_ns.get(embedding.encoder, embedding.end_ns):
        return state, moments, False
    time_ns = embedding.end_ns
    if age_ns > max_age_ns:
        embedding = replace(embedding, late_ns=age_ns)
        # an encoder that was missed meanwhile was absent, and no later embedding changes that
        time_ns = time_ns if embedding.encoder in state.latest else now_ns
    latest = {**state.latest, embedding.encoder: _latest(embedding, now_ns, waited_ns, max_age_ns)}
    newest_ns = {**state.newest_ns, embedding.encoder: embedding.end_ns}
    state = Alignment(latest, newest_ns, max(state.time_ns, time_ns), state.made_ns, pending=True)
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
    due = [latest.missed_ns for latest in state.latest.values()]
    if state.pending:
        due.append(_allowed_ns(state, settings))
    return min(due, default=None)


def _latest(embedding: Embedding, now_ns: int, waited_ns: int, max_age_ns: int) -> Latest:
    """Return the embedding with the first instants at which it is older than allowed, and at which it is missed.

    The next embedding may wait as long as this one did. If this one would expire before that, its encoder gets the
    maximum age from that instant on. So an event does not end between two embeddings of a slow encoder.
    """
    expires_ns = embedding.end_ns + max_age_ns + 1
    next_ns = now_ns + waited_ns
    return Latest(embedding, expires_ns, expires_ns if expires_ns > next_ns else next_ns + max_age_ns + 1)


def _step(state: Alignment, at_ns: int, settings: AlignmentSettings) -> tuple[Alignment, list[Moment]]:
    """Drop the embeddings that are missed by `at_ns`, then make the pending moment if the rate allows it."""
    missed_ns = [latest.missed_ns for latest in state.latest.values() if latest.missed_ns <= at_ns]
    if missed_ns:
        rest = {encoder: latest for encoder, latest in state.latest.items() if latest.missed_ns > at_ns}
        state = replace(state, latest=rest, time_ns=max(state.time_ns, *missed_ns), pending=True)
    if not state.pending or at_ns < _allowed_ns(state, settings):
        return state, []
    present = {name: each.embedding for name, each in state.latest.items() if each.is_new or each.expires_ns > at_ns}
    if state.latest and not present:  # a slow encoder is at work: an empty moment would end the events
        return replace(state, pending=False), []
    used = {name: replace(each, is_new=False) if each.is_new else each for name, each in state.latest.items()}
    return Alignment(used, state.newest_ns, state.time_ns, at_ns, pending=False), [Moment(state.time_ns, present)]


def _allowed_ns(state: Alignment, settings: AlignmentSettings) -> int:
    return state.time_ns if state.made_ns is None else state.made_ns + settings.min_interval_ns

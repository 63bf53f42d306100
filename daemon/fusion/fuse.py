"""The fusion of one stream: from embeddings to recognitions and events."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from daemon.core.errors import ModelError
from daemon.core.ports import Model
from daemon.core.records import Array, Embedding, EndedBy, Event, Moment, Recognition
from daemon.fusion import align, events, states
from daemon.fusion.align import Alignment, AlignmentSettings
from daemon.fusion.events import EventSettings
from daemon.fusion.pool import Pool
from daemon.fusion.states import StateChange, StateGroup, StatesState
from daemon.fusion.taught import EVENTS, Scope, TaughtHead, TaughtScores, exclusive_scores


class FusionHead:
    """Runs the head on `F = [e1; e2; …; present]`, with the part of each encoder. Used by one thread at a time.

    Exclusive scores are `softmax(W·F + b)`. Independent scores are `sigmoid(logit - logit of the background)`.
    Labels that were taught have a head of their own. They follow the labels of this head.
    """

    def __init__(
        self, model: Model, sizes: Mapping[str, int], background: int | None = None, taught: TaughtHead | None = None
    ) -> None:
        """`sizes` has the length in F of each encoder, in the order of the head.

        `background` is the index of the label that independent scoring compares with; None: scores are exclusive.
        Raises ModelError when the bias gives a label a score of 0, or an independent score of 1.
        """
        self._model = model
        self._background = background
        self._taught = taught
        self._present = sum(sizes.values())
        ends = list(accumulate(sizes.values()))
        self._parts = [(name, slice(end - size, end)) for (name, size), end in zip(sizes.items(), ends, strict=True)]
        model.input[...] = 0
        scores, _ = self._invoke()
        if background is not None:
            scores[background] = 0.5  # its own entry is not used
        if not np.all(scores > 0) or (background is not None and not np.all(scores < 1)):
            raise ModelError("the head's bias is so large that a label can never be recognised")
        self._bias = _centred(np.log(scores)) if background is None else np.log(scores) - np.log1p(-scores)

    def recognise(self, moment: Moment, scope: Scope | None = None) -> Recognition:
        """Return the scores at a moment, with bias and shares; see Recognition.

        `scope` has the taught labels that count; None: all. The others are not in the recognition.
        """
        features = self._model.input[0]
        self._fill(features, moment)
        scores, shares = self._invoke()
        bias, background = self._bias, self._background
        if background is None:
            shares = _centred(shares)
        else:
            scores[background] = shares[:, background] = 0
            scores[background] = 1 - scores.max()
        if self._taught is not None and (scope is None or scope.size):
            taught = self._taught.recognise(features, self._taught.everywhere if scope is None else scope)
            scores = self._joined(scores, bias + np.add.reduce(shares, axis=0), taught)
            bias = np.concatenate((bias, taught.bias))
            shares = np.concatenate((shares, taught.shares), axis=1)
        present = {name: shares[index] for index, (name, _) in enumerate(self._parts) if name in moment.embeddings}
        return Recognition(moment, scores, bias, present)

    def _joined(self, scores: Array, logits: Array, taught: TaughtScores) -> Array:
        """Return the scores of all labels; `scores` and `logits` (L,) are those of the head's own labels."""
        if self._background is None:
            taught_logits = taught.bias + np.add.reduce(taught.shares, axis=0)
            return exclusive_scores(logits, taught_logits, taught.groups)
        events = taught.scores[taught.groups == EVENTS]
        if events.size:  # a state lasts, and says nothing of whether something happens
            scores[self._background] = np.minimum(scores[self._background], 1 - events.max())
        return np.concatenate((scores, taught.scores))

    def _fill(self, features: Array, moment: Moment) -> None:
        """Write F, of shape (D + M). An absent encoder is zeros."""
        features[...] = 0
        for index, (name, part) in enumerate(self._parts):
            embedding = moment.embeddings.get(name)
            if embedding is not None:
                features[part] = embedding.vector
                features[self._present + index] = 1.0

    def _invoke(self) -> tuple[Array, Array]:
        scores, shares = self._model.invoke()
        return scores[0], shares[0]


@dataclass(slots=True)
class Fused:
    """The results of one step, each list in order. `states` has the changes of groups of states.

    `late` counts dropped embeddings. `not_finite` counts recognitions that were dropped because of NaN scores.
    """

    recognitions: list[Recognition] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    states: list[StateChange] = field(default_factory=list)
    late: int = 0
    not_finite: int = 0


class StreamFusion:
    """Turns the embeddings of one stream into recognitions and events. Used by one thread at a time."""

    def __init__(
        self,
        head: FusionHead,
        pool: Pool,
        alignment_settings: AlignmentSettings,
        event_settings: EventSettings,
        scope: Scope | None = None,
        groups: Sequence[StateGroup] = (),
    ) -> None:
        """`pool` is this stream's own. `scope` has the taught labels that apply in this stream; None: all.

        `groups` are the states that are recognised in it.
        """
        self._head = head
        self._scope = scope
        self._pool = pool
        self._alignment_settings, self._event_settings = alignment_settings, event_settings
        self._alignment = Alignment()
        self._event_state = events.initial_state(event_settings)
        self._groups, self._states = groups, StatesState()

    def deliver(self, embedding: Embedding, now_ns: int) -> Fused:
        """Take an embedding at `now_ns`."""
        embedding = self._pool.add(embedding)
        self._alignment, moments, in_time = align.deliver(self._alignment, embedding, now_ns, self._alignment_settings)
        fused = self._recognise(moments)
        fused.late = 0 if in_time else 1
        return fused

    def advance(self, now_ns: int) -> Fused:
        """Let time pass until `now_ns`: embeddings expire, and events start, are updated and end."""
        self._alignment, moments = align.advance(self._alignment, now_ns, self._alignment_settings)
        fused = self._recognise(moments)
        self._event_state, due = events.advance(self._event_state, now_ns, self._event_settings, _new_id)
        fused.events += due
        return fused

    def finish(self, now_ns: int, ended_by: EndedBy = "stopped") -> Fused:
        """End all open events, and forget all embeddings."""
        fused = self.advance(now_ns)
        self._alignment = Alignment()
        self._pool.forget()
        self._event_state, ends = events.end_all(self._event_state, now_ns, ended_by, self._event_settings)
        fused.events += ends
        self._states, changes = states.end_all(self._states, now_ns)
        if ended_by != "bundle":  # the next bundle decides, and until then the states are as they were
            fused.states += changes
        return fused

    def next_due_ns(self) -> int | None:
        """Return the next instant at which `advance` changes something, or None."""
        due = (
            align.next_due_ns(self._alignment, self._alignment_settings),
            events.next_due_ns(self._event_state, self._event_settings),
        )
        return min((at_ns for at_ns in due if at_ns is not None), default=None)

    def _recognise(self, moments: list[Moment]) -> Fused:
        fused = Fused()
        for moment in moments:
            recognition = self._head.recognise(moment, self._scope) if moment.embeddings else None
            # NaN counts as an empty moment: smoothing would keep it for ever
            if recognition and not math.isfinite(np.add.reduce(recognition.scores)):
                recognition, fused.not_finite = None, fused.not_finite + 1
            scores, evidence = (recognition.scores, recognition.shares) if recognition else (None, {})
            self._event_state, new = events.add_scores(
                self._event_state, scores, evidence, moment.time_ns, self._event_settings, _new_id
            )
            fused.events += new
            if self._groups:
                self._states, changes = states.add_scores(self._states, scores, moment.time_ns, self._groups)
                fused.states += changes
            if recognition:
                fused.recognitions.append(recognition)
        return fused


def _centred(values: Array) -> Array:
    """Return the values less their mean over the labels, which are the last axis."""
    # softmax ignores an offset that all labels share, and without it the shares of encoders can be compared
    centred: Array = values - np.add.reduce(values, axis=-1, keepdims=True) / np.float32(values.shape[-1])
    return centred


def _new_id() -> str:
    return uuid.uuid4().hex

"""The fusion of one stream: from embeddings to recognitions and events."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from daemon.core.errors import ModelError
from daemon.core.ports import Model
from daemon.core.records import Array, Embedding, EndedBy, Event, Moment, Recognition
from daemon.fusion import align, events
from daemon.fusion.align import Alignment, AlignmentSettings
from daemon.fusion.events import EventSettings


class FusionHead:
    """Runs `softmax(W·F + b)` with `F = [embeddings; present]`. Used by one thread at a time."""

    def __init__(self, model: Model, sizes: Mapping[str, int]) -> None:
        """`sizes` has the embedding length of each encoder, in the order of the head.

        Raises ModelError when the bias gives a label a score of 0.
        """
        self._model = model
        self._sizes = dict(sizes)
        self._length = sum(sizes.values()) + len(sizes)
        model.input[...] = 0
        scores, _ = self._invoke()
        if not np.all(scores > 0):
            raise ModelError("the head's bias is so large that a label can never be recognised")
        self._bias = _centred(np.log(scores))

    def recognise(self, moment: Moment) -> Recognition:
        """Return the scores at a moment, with bias and shares centred over the labels."""
        self._fill(self._model.input[0], moment)
        scores, shares = self._invoke()
        centred = _centred(shares)
        present = {m: centred[index] for index, m in enumerate(self._sizes) if m in moment.embeddings}
        return Recognition(moment, scores, self._bias, present)

    def _fill(self, features: Array, moment: Moment) -> None:
        """Write F, of shape (D + M). An absent modality is zeros."""
        features[...] = 0
        start, present = 0, self._length - len(self._sizes)
        for index, (modality, size) in enumerate(self._sizes.items()):
            embedding = moment.embeddings.get(modality)
            if embedding is not None:
                features[start : start + size] = embedding.vector
                features[present + index] = 1.0
            start += size

    def _invoke(self) -> tuple[Array, Array]:
        scores, shares = self._model.invoke()
        return scores[0], shares[0]


@dataclass(slots=True)
class Fused:
    """The results of one step, each list in order.

    `late` counts dropped embeddings. `not_finite` counts recognitions that were dropped because of NaN scores.
    """

    recognitions: list[Recognition] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    late: int = 0
    not_finite: int = 0


class StreamFusion:
    """Turns the embeddings of one stream into recognitions and events. Used by one thread at a time."""

    def __init__(self, head: FusionHead, alignment_settings: AlignmentSettings, event_settings: EventSettings) -> None:
        self._head = head
        self._alignment_settings, self._event_settings = alignment_settings, event_settings
        self._alignment = Alignment()
        self._event_state = events.initial_state(event_settings)

    def deliver(self, embedding: Embedding, now_ns: int) -> Fused:
        """Take an embedding at `now_ns`."""
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
        self._event_state, ends = events.end_all(self._event_state, now_ns, ended_by, self._event_settings)
        fused.events += ends
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
            recognition = self._head.recognise(moment) if moment.embeddings else None
            # NaN counts as an empty moment: smoothing would keep it for ever
            if recognition and not math.isfinite(np.add.reduce(recognition.scores)):
                recognition, fused.not_finite = None, fused.not_finite + 1
            scores, evidence = (recognition.scores, recognition.shares) if recognition else (None, {})
            self._event_state, new = events.add_scores(
                self._event_state, scores, evidence, moment.time_ns, self._event_settings, _new_id
            )
            fused.events += new
            if recognition:
                fused.recognitions.append(recognition)
        return fused


def _centred(values: Array) -> Array:
    """Return the values less their mean over the labels, which are the last axis."""
    # softmax ignores an offset that all labels share, and without it the shares of modalities can be compared
    centred: Array = values - np.add.reduce(values, axis=-1, keepdims=True) / np.float32(values.shape[-1])
    return centred


def _new_id() -> str:
    return uuid.uuid4().hex

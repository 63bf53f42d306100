"""The fusion head: from a moment to scores, and to what each modality contributed."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from daemon.core.errors import ModelError
from daemon.core.ports import Model
from daemon.core.records import Array, Embedding, EndedBy, Event, Modality, Moment, Recognition
from daemon.fusion import align
from daemon.fusion import events as decide
from daemon.fusion.align import Alignment, AlignmentSettings
from daemon.fusion.events import EventSettings


class FusionHead:
    """Runs `softmax(W·F + b)` with `F = [embeddings; present]`. Used by one thread at a time.

    `sizes` gives the embedding length of each modality in the head's order.
    """

    def __init__(self, model: Model, sizes: Mapping[Modality, int]) -> None:
        self._model = model
        self._sizes = dict(sizes)
        self._length = sum(sizes.values()) + len(sizes)
        model.input[...] = 0
        scores, _ = self._invoke()
        if not np.all(scores > 0):
            raise ModelError("the head's bias is so large that a label can never be recognised")
        self._bias = _centred(np.log(scores))

    def recognise(self, moment: Moment) -> Recognition:
        """The scores at a moment, with bias and shares centred over the labels."""
        self._fill(self._model.input[0], moment)
        scores, shares = self._invoke()
        centred = _centred(shares)
        present = {m: centred[index] for index, m in enumerate(self._sizes) if m in moment.embeddings}
        return Recognition(moment, scores, self._bias, present)

    def _fill(self, features: Array, moment: Moment) -> None:
        """Write F, of shape (D + M); absent modalities are zero."""
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


def _centred(values: Array) -> Array:
    """Softmax ignores a common offset of all labels (the last axis); without it, shares of modalities compare."""
    centred: Array = values - np.add.reduce(values, axis=-1, keepdims=True) / np.float32(values.shape[-1])
    return centred


@dataclass(slots=True)
class Fused:
    """What came of one step, each in order; `not_finite` counts recognitions left out, whose scores are no numbers."""

    recognitions: list[Recognition] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    late: int = 0
    not_finite: int = 0


class StreamFusion:
    """Turns the embeddings of one stream into recognitions and events. Used by one thread."""

    def __init__(self, head: FusionHead, align_rules: AlignmentSettings, decide_rules: EventSettings) -> None:
        self._head = head
        self._align_rules, self._decide_rules = align_rules, decide_rules
        self._alignment = Alignment()
        self._decision = decide.initial_state(decide_rules)

    def deliver(self, embedding: Embedding, now_ns: int) -> Fused:
        """Take an embedding at `now_ns`."""
        self._alignment, moments, in_time = align.deliver(self._alignment, embedding, now_ns, self._align_rules)
        fused = self._recognise(moments)
        fused.late = 0 if in_time else 1
        return fused

    def advance(self, now_ns: int) -> Fused:
        """Let time pass: embeddings expire, events start, are renewed and end."""
        self._alignment, moments = align.advance(self._alignment, now_ns, self._align_rules)
        fused = self._recognise(moments)
        self._decision, events = decide.advance(self._decision, now_ns, self._decide_rules, _new_id)
        fused.events += events
        return fused

    def finish(self, now_ns: int, ended_by: EndedBy = "stopped") -> Fused:
        """End what is open, and forget what was delivered."""
        fused = self.advance(now_ns)
        self._alignment = Alignment()
        self._decision, events = decide.end_all(self._decision, now_ns, ended_by, self._decide_rules)
        fused.events += events
        return fused

    def next_due_ns(self) -> int | None:
        """When `advance` next has something to do, or None."""
        due = (
            align.next_due_ns(self._alignment, self._align_rules),
            decide.next_due_ns(self._decision, self._decide_rules),
        )
        return min((at_ns for at_ns in due if at_ns is not None), default=None)

    def _recognise(self, moments: list[Moment]) -> Fused:
        fused = Fused()
        for moment in moments:
            recognition = self._head.recognise(moment) if moment.embeddings else None
            # of scores that are no numbers nothing follows, as of an empty moment: smoothed, they would last for ever
            if recognition and not math.isfinite(np.add.reduce(recognition.scores)):
                recognition, fused.not_finite = None, fused.not_finite + 1
            scores = recognition.scores if recognition else None
            self._decision, events = decide.add_scores(
                self._decision, scores, moment.time_ns, self._decide_rules, _new_id
            )
            fused.events += events
            if recognition:
                fused.recognitions.append(recognition)
        return fused


def _new_id() -> str:
    return uuid.uuid4().hex

"""The fusion of one stream: alignment, head and decision in a row."""

import math
import uuid
from dataclasses import dataclass, field

import numpy as np

from daemon.fusion import align, decide
from daemon.fusion.align import Alignment, AlignRules
from daemon.fusion.decide import DecideRules
from daemon.fusion.head import FusionHead
from daemon.records import Embedding, EndedBy, Event, Moment, Recognition


@dataclass(slots=True)
class Fused:
    """What came of one step, each in order; `not_finite` counts recognitions left out, whose scores are no numbers."""

    recognitions: list[Recognition] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    late: int = 0
    not_finite: int = 0


class StreamFusion:
    """Turns the embeddings of one stream into recognitions and events. Used by one thread."""

    def __init__(self, head: FusionHead, align_rules: AlignRules, decide_rules: DecideRules) -> None:
        self._head = head
        self._align_rules, self._decide_rules = align_rules, decide_rules
        self._alignment = Alignment()
        self._decision = decide.nothing(decide_rules)

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
            self._decision, events = decide.take(self._decision, scores, moment.time_ns, self._decide_rules, _new_id)
            fused.events += events
            if recognition:
                fused.recognitions.append(recognition)
        return fused


def _new_id() -> str:
    return uuid.uuid4().hex

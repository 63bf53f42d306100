"""What people who look at the node see of one stream: its scores, its level of sound, its gates, and its picture."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.core.records import Block, Captured, Frame, Modality, Recognition
from daemon.core.timing import NS_PER_MS, monotonic_ns, wall_time
from daemon.fusion.fuse import Fused
from daemon.mqtt.payloads import fractions, unit_score
from daemon.node.preview import Preview
from daemon.node.stream_publisher import PublishedBundle
from daemon.pipeline.gates import Gates, rms_db

# of all labels; those that were taught are always there
TOP = 5

# at most five messages a second for all who look
APART_NS = 180 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class Recognised:
    """The latest recognition, and under which bundle it was made."""

    bundle: PublishedBundle
    recognition: Recognition
    delay_ns: int


@dataclass(frozen=True, slots=True)
class Scores:
    """A message with scores. Its number is another one once its content has changed."""

    number: int
    made_ns: int
    content: dict[str, Any]


class Watching:
    """Holds the latest of one stream. Nothing is computed before somebody asks. Thread-safe.

    `observe` is called by the thread that fuses, `see` by those of the sources: both only store a reference.
    """

    def __init__(self, stream: str, gates: Gates) -> None:
        self.preview = Preview()
        self._stream = stream
        self._gates = gates
        self._recognised: Recognised | None = None
        self._block: Block | None = None
        self._making = threading.Lock()
        self._scores = Scores(0, 0, {})
        self._made_of: tuple[object, ...] = ()

    def see(self, captured: Captured) -> None:
        """Take what a source has captured, after masks and region."""
        if isinstance(captured, Frame):
            self.preview.offer(captured)
        elif isinstance(captured, Block):
            self._block = captured

    def observe(self, bundle: PublishedBundle, fused: Fused, delay_ns: int) -> None:
        """Take the results of one step of fusion."""
        if fused.recognitions:
            self._recognised = Recognised(bundle, fused.recognitions[-1], delay_ns)

    def forget(self, *modalities: Modality) -> None:
        """Drop what was captured of these modalities, and the scores that come of it."""
        self._recognised = None
        if "image" in modalities:
            self.preview.forget()
        if "audio" in modalities:
            self._block = None

    def scores(self) -> Scores:
        """Return the message with the latest scores."""
        with self._making:
            recognised, block, gates = self._recognised, self._block, self._gates.open
            now_ns, known = monotonic_ns(), self._made_of
            is_same = len(known) == 3 and known[0] is recognised and known[1] is block and known[2] == gates
            if not is_same and (not known or now_ns - self._scores.made_ns >= APART_NS):
                content = self._content(recognised, block, gates)
                self._scores, self._made_of = (
                    Scores(self._scores.number + 1, now_ns, content),
                    (recognised, block, gates),
                )
            return self._scores

    def _content(
        self, recognised: Recognised | None, block: Block | None, gates: Mapping[str, bool | None]
    ) -> dict[str, Any]:
        instants = [] if recognised is None else [recognised.recognition.moment.time_ns - recognised.delay_ns]
        if block is not None:
            instants.append(block.end_ns - block.delay_ns)
        return {
            "kind": "scores",
            "stream": self._stream,
            "time": wall_time(max(instants, default=monotonic_ns())),
            "labels": [] if recognised is None else scored_labels(recognised.bundle, recognised.recognition),
            "level_db": None if block is None else round(rms_db(block.samples), 1),
            "gates": dict(gates),
        }


def scored_labels(bundle: PublishedBundle, recognition: Recognition) -> list[dict[str, Any]]:
    """Return the labels with the highest scores, and all that were taught, best first, but for the background.

    The shares are those of the senses in what speaks for the label, as in events: they add up to 1, or all are 0.
    """
    labels = bundle.view.labels
    taught = frozenset() if bundle.taught is None else frozenset(bundle.taught.labels)
    best_first = (-recognition.scores).argsort(kind="stable").tolist()
    order = [index for index in best_first if labels[index] not in bundle.background]
    return [
        {
            "label": labels[index],
            "score": unit_score(recognition.scores[index]),
            "shares": _shares(recognition, index, bundle.view.encoders),
        }
        for place, index in enumerate(order)
        if place < TOP or labels[index] in taught
    ]


def _shares(recognition: Recognition, index: int, encoders: Mapping[str, Modality]) -> dict[Modality, float]:
    sums: dict[Modality, float] = {}
    for name, shares in recognition.shares.items():
        sums[encoders[name]] = sums.get(encoders[name], 0.0) + float(shares[index])
    speaks = {sense: max(0.0, share) for sense, share in sums.items()}
    total = sum(speaks.values())
    return fractions({sense: share / total if total else 0.0 for sense, share in speaks.items()})

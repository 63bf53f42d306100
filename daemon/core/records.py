"""Data that flows through the daemon: frame, block or line, then embedding, moment, recognition and event.

Every `*_ns` is an instant of `time.monotonic_ns()`, stamped at capture.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")

Array = NDArray[np.float32]
Array64 = NDArray[np.float64]
Plane = NDArray[np.uint8]
Tensor = NDArray[Any]

# the name of the device that is always present
CPU = "cpu"

Modality = Literal["image", "audio", "text"]
# in the order of the head's input
MODALITIES: tuple[Modality, ...] = ("image", "audio", "text")

# exclusive: the softmax over all labels; independent: each label against the background alone
Scoring = Literal["exclusive", "independent"]

EventPhase = Literal["start", "update", "end"]

# absent: the label faded and no other took over; other: another label's event began; timeout: the longest duration
# was reached; paused: the stream was paused; bundle: another bundle took over; stopped: the daemon stopped;
# restart: the daemon ended earlier without reporting the end; reload: the daemon began again with a changed config
EndedBy = Literal["absent", "other", "timeout", "paused", "stopped", "restart", "bundle", "reload"]

UpdateStage = Literal["resolve", "download", "verify", "check", "selftest", "switch", "probation"]
# the stages of a bundle update, in their order
UPDATE_STAGES: tuple[UpdateStage, ...] = (
    "resolve",
    "download",
    "verify",
    "check",
    "selftest",
    "switch",
    "probation",
)


class Deferred(Generic[Value]):
    """A value that is computed once, by the first thread that asks; its inputs are released then."""

    __slots__ = ("_compute", "_lock", "_value")

    def __init__(self, compute: Callable[[], Value]) -> None:
        self._compute: Callable[[], Value] | None = compute
        self._value: Value
        self._lock = threading.Lock()

    def get(self) -> Value:
        """Return the value. Raises what computing it raises; the next call then tries again."""
        with self._lock:
            if self._compute is not None:
                self._value = self._compute()
                self._compute = None
            return self._value


@dataclass(frozen=True, slots=True)
class Colours:
    """The meaning of the numbers in YUV planes: matrix and range.

    Limited range: luma from 16 to 235, chroma from 16 to 240. Full range: both from 0 to 255.
    """

    matrix: Literal["bt601", "bt709"] = "bt601"
    is_full_range: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture; its planes may be computed on first use. Only `captured_ns` and `colours` never compute them.

    `planes` is one BGR plane of shape (height, width, 3), or three YUV planes described by `colours`.
    YUV: luma of shape (height, width), both even; the two chroma planes have half the height, half the width,
    both or neither. All planes are uint8. They are read-only by agreement, since a decoder may still refer to them.
    `delay_ns` is how long after its capture the picture is to be used: 0, or the delay at which segments are played.
    """

    content: tuple[Plane, ...] | Deferred[tuple[Plane, ...]]
    captured_ns: int
    colours: Colours = Colours()
    delay_ns: int = 0

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Return the planes; the first call computes deferred ones."""
        return self.content.get() if isinstance(self.content, Deferred) else self.content

    @property
    def size(self) -> tuple[int, int]:
        """Return width and height in pixels."""
        height, width = self.planes[0].shape[:2]
        return width, height

    @property
    def grain(self) -> int:
        """Return the pixel multiple at which a part may begin and end: 2 where chroma may have half the size."""
        return 1 if len(self.planes) == 1 else 2

    @property
    def black(self) -> int:
        """Return the value of black in the first plane."""
        return 0 if len(self.planes) == 1 or self.colours.is_full_range else 16

    def part(self, left: int, top: int, right: int, bottom: int) -> "Frame":
        """Return a view of a rectangle, given in pixels that are multiples of `grain`."""
        width, height = self.size
        parts = []
        for plane in self.planes:
            down, across = height // plane.shape[0], width // plane.shape[1]
            parts.append(plane[top // down : bottom // down, left // across : right // across])
        return replace(self, content=tuple(parts))

    def deferred(self, change: Callable[["Frame"], "Frame"]) -> "Frame":
        """Return the frame that `change` makes of this one, on first use of its planes.

        `change` must keep `captured_ns` and `colours`.
        """
        return replace(self, content=Deferred(partial(_changed_planes, change, self)))


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive mono samples: float32 of shape (n,), in [-1, 1].

    `start_ns` is the capture time of the first sample. `gap`: samples were lost just before it.
    `delay_ns` has the same meaning as that of a frame.
    """

    samples: Array
    sample_rate_hz: int
    start_ns: int
    gap: bool = False
    delay_ns: int = 0

    @property
    def end_ns(self) -> int:
        """Return the capture time just after the last sample."""
        return self.start_ns + len(self.samples) * 1_000_000_000 // self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, as it arrived."""

    text: str
    captured_ns: int


Captured = Frame | Block | Line


@dataclass(frozen=True, slots=True)
class Embedding:
    """The output of an encoder for the input captured in `[start_ns, end_ns)`: float32 of shape (D,).

    `encoder` is the encoder's name. A bundle of format 1 names its encoders after their modality.
    `device` ran the encoder: `cpu`, or an accelerator's name. `taken_ns` is when its input was queued for the encoder;
    None: it did not wait. `late_ns` is its age when it was fused, where that is above the maximum age; otherwise 0.
    """

    encoder: str
    vector: Array
    start_ns: int
    end_ns: int
    device: str = CPU
    taken_ns: int | None = None
    late_ns: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """The embeddings of one stream that belong together at `time_ns`, by encoder; an absent encoder has no entry."""

    time_ns: int
    embeddings: Mapping[str, Embedding]

    def age_ns(self, encoder: str) -> int:
        """Return the age of the encoder's embedding at this moment."""
        return self.time_ns - self.embeddings[encoder].end_ns


@dataclass(frozen=True, slots=True)
class Recognition:
    """The label scores at a moment, and the contribution of each encoder.

    `scores` has shape (L,). `shares[e]` (L,) is the contribution of encoder e to the logits, `bias` (L,) the logits
    without any encoder. An empty moment has no shares, and its scores are those of the bias alone.
    With exclusive scoring, bias and shares are centred over the labels, and scores = softmax(bias + sum of shares).
    With independent scoring, both are differences to the logit of the background, and scores = sigmoid(bias + sum of
    shares). The score of the background is 1 less the highest other score; its bias and shares are 0.
    Labels that were taught come last, and change neither bias nor shares of the others: they are not centred.
    A state takes part neither in the score of the background nor in the softmax of the labels that make events.
    """

    moment: Moment
    scores: Array
    bias: Array
    shares: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Event:
    """A step in the life of one continuous presence of a label.

    `score` is the current smoothed score, `peak` the highest so far. `ended_by` is None until the phase `end`.
    `shares` has the part of each modality in what spoke for the label when it was last recognised. They add up to 1,
    or all are 0 where no modality spoke for it.
    """

    phase: EventPhase
    label: str
    id: str
    started_ns: int
    time_ns: int
    score: float
    peak: float
    ended_by: EndedBy | None = None
    shares: Mapping[Modality, float] = field(default_factory=dict)


@dataclass(slots=True)
class Counters:
    """Counts for one modality, encoder, source or link, published in `health`. One thread only writes each number.

    Two are not published. `put_off_ns`: by how much a file's schedule was put off, because the file is read too slowly.
    `left_out`: pictures that the setting `fps` leaves out.
    Where a modality has several encoders, `encoders` has the counters of each. What an encoder counts is there only.
    """

    captured: int = 0
    encoded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    put_off_ns: int = 0
    encoders: dict[str, "Counters"] = field(default_factory=dict)

    @property
    def parts(self) -> "list[Counters]":
        """Return these counters and those of each encoder; callable from any thread."""
        return [self, *self.encoders.copy().values()]

    def drop(self, reason: str, count: int = 1) -> None:
        """Count dropped inputs by reason."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count


def modality_of(captured: Captured) -> Modality:
    """Return the modality of a captured input."""
    return "image" if isinstance(captured, Frame) else "audio" if isinstance(captured, Block) else "text"


def ended_ns(captured: Captured) -> int:
    """Return the instant at which the captured input ends."""
    return captured.end_ns if isinstance(captured, Block) else captured.captured_ns


def delay_of(captured: Captured) -> int:
    """Return how long after its capture the input is to be used, in nanoseconds."""
    return 0 if isinstance(captured, Line) else captured.delay_ns


def delayed(captured: Captured, by_ns: int) -> Captured:
    """Return the same input, to be used `by_ns` after its capture. A line is used at once."""
    return captured if isinstance(captured, Line) else replace(captured, delay_ns=by_ns)


def moved(captured: Captured, by_ns: int) -> Captured:
    """Return the same input with its capture time shifted."""
    if by_ns == 0:
        return captured
    if isinstance(captured, Block):
        return Block(
            captured.samples, captured.sample_rate_hz, captured.start_ns + by_ns, captured.gap, captured.delay_ns
        )
    if isinstance(captured, Frame):
        return Frame(captured.content, captured.captured_ns + by_ns, captured.colours, captured.delay_ns)
    return replace(captured, captured_ns=captured.captured_ns + by_ns)


def _changed_planes(change: Callable[[Frame], Frame], frame: Frame) -> tuple[Plane, ...]:
    return change(frame).planes

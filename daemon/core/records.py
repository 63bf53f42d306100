"""What flows through the daemon: frame, block, line -> embedding -> moment -> recognition -> event.

Every `*_ns` is an instant of `time.monotonic_ns()`, stamped at capture.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Made = TypeVar("Made")


class Deferred(Generic[Made]):
    """A value that is made once, by the first thread that asks; what it is made of is let go then."""

    __slots__ = ("_lock", "_made", "_make")

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make: Callable[[], Made] | None = make
        self._made: Made
        self._lock = threading.Lock()

    def get(self) -> Made:
        """The value. Raises what making it raises, and tries again when asked again."""
        with self._lock:
            if self._make is not None:
                self._made = self._make()
                self._make = None
            return self._made


CPU = "cpu"
"""The name of the device that is always there."""

Modality = Literal["image", "audio", "text"]
MODALITIES: tuple[Modality, ...] = ("image", "audio", "text")
"""In the order in which the head takes them."""

Array = NDArray[np.float32]
Array64 = NDArray[np.float64]
Plane = NDArray[np.uint8]
Tensor = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Colours:
    """What the numbers in YUV planes stand for: the matrix, and the range.

    In limited range luma goes from 16 to 235 and chroma from 16 to 240, in full range both from 0 to 255.
    """

    matrix: Literal["bt601", "bt709"] = "bt601"
    is_full_range: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. Its planes may be made only when they are first asked for, by anything here but `captured_ns`.

    `planes` is either one BGR plane of shape (height, width, 3), or three planes of YUV, of which `colours` tells:
    luma of (height, width), both even, and two of chroma that have each half of the height, the width, both or neither.
    All are uint8 and read-only by agreement: a decoder may still refer to them.
    """

    content: tuple[Plane, ...] | Deferred[tuple[Plane, ...]]
    captured_ns: int
    colours: Colours = Colours()

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The planes, made now where they have not been yet."""
        return self.content.get() if isinstance(self.content, Deferred) else self.content

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.planes[0].shape[:2]
        return width, height

    @property
    def grain(self) -> int:
        """Parts of the frame begin and end at multiples of so many pixels: 2 where chroma may have half the size."""
        return 1 if len(self.planes) == 1 else 2

    @property
    def black(self) -> int:
        """What the first plane is where the picture is black."""
        return 0 if len(self.planes) == 1 or self.colours.is_full_range else 16

    def part(self, left: int, top: int, right: int, bottom: int) -> "Frame":
        """A view of a part, given in pixels that are multiples of `grain`."""
        width, height = self.size
        parts = []
        for plane in self.planes:
            down, across = height // plane.shape[0], width // plane.shape[1]
            parts.append(plane[top // down : bottom // down, left // across : right // across])
        return replace(self, content=tuple(parts))

    def deferred(self, change: Callable[["Frame"], "Frame"]) -> "Frame":
        """What `change` makes of it, once its planes are asked for; the time and the colours must stay."""
        return replace(self, content=Deferred(lambda: change(self).planes))


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive mono samples: float32 of shape (n,), in [-1, 1].

    `start_ns` is the capture time of the first sample. `gap` says that samples were lost just before it.
    """

    samples: Array
    sample_rate_hz: int
    start_ns: int
    gap: bool = False

    @property
    def end_ns(self) -> int:
        """The capture time just after the last sample."""
        return self.start_ns + len(self.samples) * 1_000_000_000 // self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Line:
    """One text as it came in."""

    text: str
    captured_ns: int


Captured = Frame | Block | Line


def modality_of(captured: Captured) -> Modality:
    """What was captured: a picture, sound or text."""
    return "image" if isinstance(captured, Frame) else "audio" if isinstance(captured, Block) else "text"


def ended_ns(captured: Captured) -> int:
    """When what was captured had ended."""
    return captured.end_ns if isinstance(captured, Block) else captured.captured_ns


def moved(captured: Captured, by_ns: int) -> Captured:
    """The same, captured at another time."""
    if by_ns == 0:
        return captured
    if isinstance(captured, Block):
        return Block(captured.samples, captured.sample_rate_hz, captured.start_ns + by_ns, captured.gap)
    return replace(captured, captured_ns=captured.captured_ns + by_ns)


@dataclass(frozen=True, slots=True)
class Embedding:
    """What an encoder made of the input captured in `[start_ns, end_ns)`: float32 of shape (D,).

    `device` is what ran the encoder: `cpu`, or an accelerator's name.
    """

    modality: Modality
    vector: Array
    start_ns: int
    end_ns: int
    device: str = CPU


@dataclass(frozen=True, slots=True)
class Moment:
    """The embeddings of one stream that belong together at `time_ns`; an absent modality is not in it."""

    time_ns: int
    embeddings: Mapping[Modality, Embedding]

    def age_ns(self, modality: Modality) -> int:
        """How old the modality's embedding is at this moment."""
        return self.time_ns - self.embeddings[modality].end_ns


@dataclass(frozen=True, slots=True)
class Recognition:
    """The label scores at a moment and where they come from.

    `scores` has shape (L,) and sums to 1. `shares[m]` (L,) is what modality m added to the logits, `bias` (L,)
    what is there without any; both are centred over the labels, and softmax(bias + sum of shares) = scores.
    An empty moment has no shares, and its scores are those of the bias alone.
    """

    moment: Moment
    scores: Array
    bias: Array
    shares: Mapping[Modality, Array]


EventPhase = Literal["start", "update", "end"]
EndedBy = Literal["absent", "other", "timeout", "paused", "stopped", "restart", "bundle"]


UpdateStage = Literal["resolve", "download", "verify", "check", "selftest", "switch", "probation"]
UPDATE_STAGES: tuple[UpdateStage, ...] = (
    "resolve",
    "download",
    "verify",
    "check",
    "selftest",
    "switch",
    "probation",
)
"""What a bundle from afar goes through, in this order."""


@dataclass(frozen=True, slots=True)
class Event:
    """A step in the life of one continuous presence of a label.

    `score` is the smoothed score now, `peak` its highest so far. `ended_by` is None until the end: the label faded
    while nothing took its place (`absent`), another label's event is open (`other`), the longest duration was reached
    (`timeout`), its stream was paused (`paused`), another bundle took over (`bundle`), the daemon stopped (`stopped`),
    or had ended without being able to say so (`restart`).
    """

    phase: EventPhase
    label: str
    id: str
    started_ns: int
    time_ns: int
    score: float
    peak: float
    ended_by: EndedBy | None = None


@dataclass(slots=True)
class Counters:
    """Counts of one thing's life, shown in `health`; each number is written by one thread alone."""

    captured: int = 0
    encoded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was thrown away, by reason."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

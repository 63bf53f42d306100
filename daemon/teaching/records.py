"""What teaching stores and fits: examples, background, corrections, and the peaks of events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from daemon.core.records import Array

# press: somebody showed it; missed: somebody said that it was missed; answer: somebody named what a question was about;
# file: it comes from a file; import: it comes from another device
Origin = Literal["press", "missed", "answer", "file", "import"]

# A place is known from this many moments of background on. Below, no taught label starts an event there.
NEEDED_BACKGROUND = 30

MAX_EXAMPLES_OF_LABEL = 200
MAX_EXAMPLES = 1000
MAX_WRONG_OF_LABEL = 500
MAX_BACKGROUND_OF_STREAM = 2000
MAX_BACKGROUND = 20_000
MAX_PEAKS = 1000
MAX_PEAK_AGE_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class StoredMoment:
    """The embeddings of one moment as they stand in F, by encoder. An absent encoder has no entry.

    `time_ms` counts from the start of the example; it is 0 for a single moment.
    """

    time_ms: int
    vectors: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Example:
    """What is kept of one press.

    `taken_s` is the wall time of the press. `encoders` has the fingerprint of each encoder that made the moments.
    `picture` is a JPEG, `sound` a WAV of one channel; each is None when there is none, or when it is not to be kept.
    """

    id: str
    label: str
    stream: str
    taken_s: float
    origin: Origin
    encoders: Mapping[str, str]
    moments: Sequence[StoredMoment]
    picture: bytes | None = None
    sound: bytes | None = None


@dataclass(frozen=True, slots=True)
class ExampleInfo:
    """An example without its moments, picture and sound."""

    id: str
    label: str
    stream: str
    taken_s: float
    origin: Origin
    moments: int
    has_picture: bool
    has_sound: bool


@dataclass(frozen=True, slots=True)
class BackgroundMoment:
    """One moment of a stream in which nothing taught happened. `taken_s` is its wall time."""

    stream: str
    taken_s: float
    encoders: Mapping[str, str]
    vectors: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class WrongMoment:
    """A moment that somebody called wrong: background of this label alone. `further` are moments beside it."""

    label: str
    stream: str
    taken_s: float
    encoders: Mapping[str, str]
    vectors: Mapping[str, Array]
    further: Sequence[Mapping[str, Array]] = ()


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment of an event with its highest score, kept by the id of the event. `taken_s` is its wall time.

    `further` are the vectors of other moments of the event, those with the highest scores.
    """

    event: str
    label: str
    stream: str
    taken_s: float
    score: float
    encoders: Mapping[str, str]
    vectors: Mapping[str, Array]
    further: Sequence[Mapping[str, Array]] = ()

    @property
    def wrong(self) -> WrongMoment:
        """The same as what somebody has called wrong."""
        return WrongMoment(self.label, self.stream, self.taken_s, self.encoders, self.vectors, self.further)


# near_threshold: its score was close to the threshold; flip_flop: its events came and went; spot_check: once a day
Why = Literal["near_threshold", "flip_flop", "spot_check"]


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the device about a moment. `recognised`: its label made an event. `asked_s` is a wall time."""

    id: str
    why: Why
    recognised: bool
    asked_s: float
    moment: Peak


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a fit with certain encoders can use. `others` has the ids of examples that other encoders have made.

    `damaged` tells in words what could not be read.
    """

    examples: Sequence[Example]
    background: Sequence[BackgroundMoment]
    wrong: Sequence[WrongMoment]
    others: Sequence[str]
    damaged: Sequence[str]

"""What the history keeps of an event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daemon.core.records import EndedBy, Modality
from daemon.core.timing import NS_PER_S

# the longest clip: a longer event has a clip of its beginning
MAX_CLIP_NS = 120 * NS_PER_S

# right: it was what the label says; wrong: nothing of it was there; was: it was another label
Verdict = Literal["right", "wrong", "was"]


@dataclass(frozen=True, slots=True)
class Clip:
    """The film of an event. `video` and `audio` are FFmpeg's names of codecs; None: there is none.

    `begins_s` is the wall time of its first picture or sound. `is_cut`: something within it was lost.
    """

    size_bytes: int
    video: str | None
    audio: str | None
    begins_s: float
    duration_s: float
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event. Times are seconds of wall time. `ended_s` and `ended_by` are None while it is open.

    `shares` are those at the peak. `snapshot_bytes` None: there is no picture. `kept`: it stays, whatever the quota.
    `was` is the label that a person has named, with the verdict `was`. `number` grows with each event that is kept; 0:
    the store has not given one yet.
    """

    id: str
    stream: str
    label: str
    bundle: str
    started_s: float
    peak_s: float
    peak: float
    shares: Mapping[Modality, float] = field(default_factory=dict)
    ended_s: float | None = None
    ended_by: EndedBy | None = None
    snapshot_bytes: int | None = None
    clip: Clip | None = None
    kept: bool = False
    verdict: Verdict | None = None
    was: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Paths:
    """The files of an event while they are written, which are not there yet. `number` is that of the event."""

    number: int
    clip: Path
    snapshot: Path


@dataclass(frozen=True, slots=True)
class Quota:
    """The most bytes that all events may have, and the age in seconds at which they go."""

    size_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """How many events there are, and their bytes; `kept_` counts those that stay, whatever the quota.

    `oldest_s` is the wall time at which the first of them has started.
    """

    events: int
    size_bytes: int
    kept_events: int
    kept_bytes: int
    oldest_s: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """A day in the time zone of the node, as YYYY-MM-DD, with the count of its events, and of those that stay."""

    day: str
    events: int
    kept: int

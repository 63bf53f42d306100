"""What the history keeps of an event."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from daemon.core.records import EndedBy, Modality

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
    `was` is the label that a person has named, with the verdict `was`.
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

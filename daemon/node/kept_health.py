"""The parts of health about taught labels and about kept events."""

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class TeachingHealth(_Part):
    """What was taught: the number of labels, examples, and moments of background of the live streams.

    `dropped` counts by reason what could not be stored or answered. `problem` says what is wrong; null: nothing.
    """

    enabled: bool
    labels: int
    examples: int
    background: int
    dropped: dict[str, int]
    problem: str | None


class HistoryHealth(_Part):
    """The events that are kept on the device: their number, and the bytes of their pictures and clips.

    `quota_bytes` is the most that these may have, and `ring_bytes` the memory for what comes before an event. `dropped`
    counts by reason what was not kept. `problem` says why nothing is kept now, or what was lost; null: all is well.
    """

    enabled: bool
    events: int
    bytes: int
    quota_bytes: int
    ring_bytes: int
    dropped: dict[str, int]
    problem: str | None


NO_HISTORY = HistoryHealth(enabled=False, events=0, bytes=0, quota_bytes=0, ring_bytes=0, dropped={}, problem=None)

"""What health tells of the history."""

from pydantic import BaseModel, ConfigDict


class HistoryHealth(BaseModel):
    """The events that are kept on the device: their number, and the bytes of their pictures and clips.

    `quota_bytes` is the most that these may have, and `ring_bytes` the memory for what comes before an event. `dropped`
    counts by reason what was not kept. `problem` says why nothing is kept now; null: all is well.
    """

    model_config = ConfigDict(frozen=True)

    enabled: bool
    events: int
    bytes: int
    quota_bytes: int
    ring_bytes: int
    dropped: dict[str, int]
    problem: str | None


NO_HISTORY = HistoryHealth(enabled=False, events=0, bytes=0, quota_bytes=0, ring_bytes=0, dropped={}, problem=None)

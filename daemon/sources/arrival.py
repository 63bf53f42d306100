"""Ties the clock of a network stream to this machine's, by when its data arrive."""

from daemon.clock import NS_PER_S

JUMP_NS = NS_PER_S
"""A stream whose data come this much later or earlier than they should has a new clock."""


class ArrivalClock:
    """One clock for all that one stream carries: capture time = presentation time + offset.

    The offset is the smallest delay between presentation time and arrival that was seen: what arrives later was held
    up on the way. So no stamp lies after its arrival. When the offset is wrong by more than JUMP_NS it is set anew.
    """

    def __init__(self) -> None:
        self.offset_ns: int | None = None

    def observe(self, end_pts_ns: int, arrived_ns: int) -> int:
        """Take note that what ended at `end_pts_ns` has arrived; gives the offset."""
        offset_ns = arrived_ns - end_pts_ns
        if self.offset_ns is None or offset_ns < self.offset_ns or offset_ns - self.offset_ns > JUMP_NS:
            self.offset_ns = offset_ns
        return self.offset_ns

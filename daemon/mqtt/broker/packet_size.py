"""Learns the largest packet that a broker takes from the cuts of the connection. Pure.

A broker of MQTT 3.1.1 announces no limit, and cuts the connection at a packet that is too large. A retained message
would be sent again at each connect, and cut the node off for ever.
"""

import math

# Smaller packets are never suspected: every broker takes them, and without them a node cannot work.
SMALLEST_SUSPECT = 1024

# A cut belongs to a packet if it comes within this time.
RIGHT_AFTER_S = 5.0

# So many cuts right after a large packet are no coincidence. A broker that says "packet too large" needs only one.
CUTS = 3

# Then larger packets are tried again at the next connect, because somebody may have raised the limit.
LEARNED_FOR_S = 3600.0


class PacketSizes:
    """Watches one broker. A packet larger than any that it has acknowledged is sent alone, so that a cut tells of it.

    `limit` is the size of the largest packet that may be sent; None: not known.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self._learned_s = -math.inf
        self._proven = SMALLEST_SUSPECT
        self._suspect: int | None = None
        self._sent_s = -math.inf
        self._cuts: list[int] = []

    def begin(self, now_s: float) -> None:
        """Begin a connection."""
        self._proven, self._suspect = SMALLEST_SUSPECT, None
        if now_s - self._learned_s >= LEARNED_FOR_S:
            self.limit = None

    def is_suspect(self, size: int) -> bool:
        """Return whether a packet is larger than any that the broker has acknowledged on this connection."""
        return size > self._proven

    @property
    def awaits_proof(self) -> bool:
        """Whether a suspect was sent and is not acknowledged. Nothing else may be sent meanwhile."""
        return self._suspect is not None

    def sent(self, size: int, now_s: float) -> None:
        """Note that a packet was sent."""
        if self.is_suspect(size):
            self._suspect, self._sent_s = size, now_s

    def acknowledged(self, size: int) -> None:
        """Note that the broker has acknowledged or refused a packet, so that it has read it."""
        if self._suspect is not None and size >= self._suspect:
            self._suspect = None
        self._proven = max(self._proven, size)
        self._cuts = [cut for cut in self._cuts if cut > size]

    def lost(self, *, was_cut: bool, is_too_large: bool, now_s: float) -> int | None:
        """Note the end of a connection; return the limit if it is learned now.

        `was_cut`: the broker has ended it. `is_too_large`: its reason was a packet that is too large.
        """
        suspect, self._suspect = self._suspect, None
        if suspect is None or not was_cut or now_s - self._sent_s > RIGHT_AFTER_S:
            return None
        self._cuts.append(suspect)
        if len(self._cuts) < CUTS and not is_too_large:
            return None
        self.limit, self._learned_s = min(self._cuts) - 1, now_s
        self._cuts.clear()
        return self.limit

"""Decides which pictures of a network stream are not decoded, because the machine cannot decode them all. Pure."""

from daemon.core.timing import NS_PER_MS, NS_PER_S

# Pictures that are older on arrival for so long will not catch up. A burst after a pause of the network is over sooner.
BEHIND_NS = 250 * NS_PER_MS
PATIENCE_NS = NS_PER_S

# Pictures that are younger on arrival have caught up.
CAUGHT_UP_NS = 100 * NS_PER_MS

# Key pictures that are further apart would leave the sense without a picture for too long.
MOST_BETWEEN_KEYS_NS = 4 * NS_PER_S

# When pictures do not get younger in PATIENCE_NS of skipping, the times of the stream are wrong. After this time it is
# tried again.
RETRY_NS = 2 * NS_PER_S


class Backlog:
    """Says which packets are skipped while a stream is behind: those between two key pictures.

    A picture refers to the ones before it up to a key picture. So decoding can only go on at a key picture.
    """

    def __init__(self) -> None:
        self._behind_since_ns: int | None = None
        self._key_ns: int | None = None
        self._between_keys_ns: int | None = None
        # since when packets are skipped, and the age of the pictures then
        self._skipping: tuple[int, int] | None = None

    def skips(self, is_key: bool, arrived_ns: int) -> bool:
        """Return whether a packet of a picture that has arrived now is not decoded."""
        if is_key:
            if self._key_ns is not None:
                self._between_keys_ns = arrived_ns - self._key_ns
            self._key_ns = arrived_ns
        return self._skipping is not None and not is_key

    def observe(self, age_ns: int, arrived_ns: int) -> None:
        """Note how old a decoded picture was when it arrived."""
        if age_ns <= CAUGHT_UP_NS:
            self._skipping = self._behind_since_ns = None
        elif self._skipping is not None:
            self._check_progress(*self._skipping, age_ns, arrived_ns)
        elif age_ns <= BEHIND_NS:
            self._behind_since_ns = None
        elif self._behind_since_ns is None:
            self._behind_since_ns = arrived_ns
        elif arrived_ns - self._behind_since_ns >= PATIENCE_NS and self._has_keys():
            self._skipping = arrived_ns, age_ns

    def _check_progress(self, since_ns: int, before_ns: int, age_ns: int, arrived_ns: int) -> None:
        if arrived_ns - since_ns < PATIENCE_NS:
            return
        if age_ns < before_ns:
            self._skipping = arrived_ns, age_ns
        else:
            self._skipping, self._behind_since_ns = None, arrived_ns + RETRY_NS

    def _has_keys(self) -> bool:
        return self._between_keys_ns is not None and self._between_keys_ns <= MOST_BETWEEN_KEYS_NS

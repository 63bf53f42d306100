"""The troubles of a connection: logged once, and stored for health until a connection was steady."""

import logging
from dataclasses import dataclass

log = logging.getLogger(__name__)

# Bounds the memory for different troubles: a hostile peer may give each attempt another one.
MAX_TROUBLES = 16


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong: what was found, what to do (None: not known), and what the program does next."""

    finding: str
    remedy: str | None = None
    next_step: str | None = None

    def __str__(self) -> str:
        return "; ".join(part for part in (self.finding, self.remedy, self.next_step) if part is not None)


class Troubles:
    """The troubles since a connection last was steady. One thread changes them; `all` is for every thread."""

    def __init__(self) -> None:
        self._troubles: dict[Trouble, None] = {}

    @property
    def all(self) -> list[Trouble]:
        """The troubles, oldest first. Callable from any thread."""
        return list(self._troubles.copy())

    def report(self, trouble: Trouble) -> None:
        """Log a trouble once until a connection was steady, because each attempt may meet it again."""
        if trouble not in self._troubles and len(self._troubles) < MAX_TROUBLES:
            log.warning("%s", trouble)
            self._troubles[trouble] = None

    def settle(self, trouble: Trouble) -> None:
        """Remove a trouble that is over, if it is there."""
        self._troubles.pop(trouble, None)

    def clear(self) -> None:
        """Remove all troubles: a connection was steady."""
        self._troubles.clear()

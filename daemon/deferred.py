"""What is made when it is first asked for."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

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

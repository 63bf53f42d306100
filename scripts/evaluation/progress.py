"""Says on standard error how far long work is."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

EVERY_S = 2.0


def tell(message: str) -> None:
    """One line of progress."""
    print(message, file=sys.stderr, flush=True)


def shown(what: str, items: Iterable[Item], count: int | None = None) -> Iterator[Item]:
    """The items; meanwhile a line every two seconds."""
    total = len(items) if count is None and isinstance(items, Sized) else count
    told = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - told >= EVERY_S:
            tell(f"  {what}: {done} of {total}")
            told = time.monotonic()
        yield item

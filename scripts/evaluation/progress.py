"""Reports the progress of long work on standard error."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

EVERY_S = 2.0


def report(message: str) -> None:
    """Print one line of progress."""
    print(message, file=sys.stderr, flush=True)


def with_progress(what: str, items: Iterable[Item], count: int | None = None) -> Iterator[Item]:
    """The items; meanwhile a line of progress every two seconds."""
    total = len(items) if count is None and isinstance(items, Sized) else count
    reported_s = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - reported_s >= EVERY_S:
            report(f"  {what}: {done} of {total}")
            reported_s = time.monotonic()
        yield item

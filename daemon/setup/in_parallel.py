"""Asks many hosts at once, and goes on without those that do not answer in time."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], timeout_s: float) -> list[Result]:
    """Return what `work` returns for each item, in the order of the items, as far as it returns in time.

    Each item has a thread of its own, so give a bounded number. One that hangs is left behind: resolving a name has no
    deadline. An error of `work` is an error of its thread, and has no result.
    """
    done: queue.SimpleQueue[tuple[int, list[Result]]] = queue.SimpleQueue()
    for number, item in enumerate(items):
        threading.Thread(target=_run, args=(work, item, number, done), name="setup-ask", daemon=True).start()
    deadline_ns = monotonic_ns() + round(timeout_s * NS_PER_S)
    results: dict[int, list[Result]] = {}
    while len(results) < len(items):
        try:
            number, result = done.get(timeout=seconds_until(deadline_ns))
        except queue.Empty:
            break
        results[number] = result
    return [result for number in sorted(results) for result in results[number]]


def _run(
    work: Callable[[Item], Result], item: Item, number: int, done: "queue.SimpleQueue[tuple[int, list[Result]]]"
) -> None:
    result: list[Result] = []
    try:
        result.append(work(item))
    finally:
        done.put((number, result))

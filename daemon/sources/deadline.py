"""Calls what may hang, and goes on without it after a deadline."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from daemon.errors import SourceError

Result = TypeVar("Result")


def call_within(
    deadline_s: float, label: str, call: Callable[[], Result], undo: Callable[[Result], None] | None = None
) -> Result:
    """The result of a call made in a thread of its own, which is left behind when it takes too long.

    `undo` then takes back what the call still achieves. Raises SourceError when it takes too long or fails.
    """
    results: SimpleQueue[Result | Exception] = SimpleQueue()
    gate = threading.Lock()
    is_abandoned = threading.Event()

    def attempt() -> None:
        try:
            result: Result | Exception = call()
        except Exception as error:  # noqa: BLE001  (handed to the caller, who raises it)
            result = error
        with gate:
            if not is_abandoned.is_set():
                results.put(result)
                return
        if undo is not None and not isinstance(result, Exception):
            undo(result)

    threading.Thread(target=attempt, name=f"call-{label}", daemon=True).start()
    try:
        result = results.get(timeout=deadline_s)
    except Empty:
        with gate:
            is_abandoned.set()
            if results.empty():
                raise SourceError(f"{label}: the system has not answered for {deadline_s:g} s") from None
            result = results.get()
    if isinstance(result, SourceError):
        raise result
    if isinstance(result, Exception):
        raise SourceError(f"{label}: {result}") from result
    return result

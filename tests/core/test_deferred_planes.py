"""A deferred value is computed once, on first use, and then releases its inputs."""

import gc
import threading
import weakref

import pytest

from daemon.core.records import Deferred


class Input:
    """An object whose release can be observed."""


def test_it_is_computed_once_whichever_thread_asks_first() -> None:
    computed: list[int] = []
    both = threading.Barrier(2)

    def compute() -> int:
        computed.append(1)
        return len(computed)

    deferred = Deferred(compute)
    assert computed == []
    found: list[int] = []

    def ask() -> None:
        both.wait()
        found.append(deferred.get())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, computed) == ([1, 1], [1])


def test_its_inputs_are_released() -> None:
    value = Input()
    reference = weakref.ref(value)
    deferred = Deferred(lambda value=value: str(type(value)))
    del value
    gc.collect()
    assert reference() is not None
    deferred.get()
    gc.collect()
    assert reference() is None


def test_after_a_failure_it_is_computed_again() -> None:
    tries: list[int] = []

    def compute() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return 5

    deferred = Deferred(compute)
    with pytest.raises(ValueError):
        deferred.get()
    assert deferred.get() == 5

"""What is made when it is first asked for is made once, and lets go what it is made of."""

import gc
import threading
import weakref

import pytest

from daemon.core.records import Deferred


class Matter:
    """Something that can be let go."""


def test_it_is_made_once_whoever_asks_first() -> None:
    made: list[int] = []
    both = threading.Barrier(2)

    def make() -> int:
        made.append(1)
        return len(made)

    deferred = Deferred(make)
    assert made == []
    found: list[int] = []

    def ask() -> None:
        both.wait()
        found.append(deferred.get())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, made) == ([1, 1], [1])


def test_what_it_is_made_of_is_let_go() -> None:
    matter = Matter()
    gone = weakref.ref(matter)
    deferred = Deferred(lambda matter=matter: str(type(matter)))
    del matter
    gc.collect()
    assert gone() is not None
    deferred.get()
    gc.collect()
    assert gone() is None


def test_after_a_failure_it_is_tried_again() -> None:
    tries: list[int] = []

    def make() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return 5

    deferred = Deferred(make)
    with pytest.raises(ValueError):
        deferred.get()
    assert deferred.get() == 5

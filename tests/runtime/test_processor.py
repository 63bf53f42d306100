"""Whether the daemon lacks processor time: by a table, and with real threads."""

import os
import threading
from collections.abc import Iterator

import pytest

from daemon.core.timing import NS_PER_S
from daemon.runtime.processor import ProcessorShare, runnable_threads
from tests.helpers.mosquitto import wait_until


@pytest.mark.parametrize(
    ("runnable", "cpu_s", "is_short"),
    [
        (0, 0.0, False),  # nothing to do, or everything is blocked
        (0, 0.6, False),
        (1, 0.98, False),  # one thread has a processor
        (2, 1.9, False),
        (1, 0.05, True),  # it gets 5 % of one
        (4, 1.0, True),  # four share one
        (3, 2.0, True),
    ],
)
def test_the_processor_is_short_when_more_threads_want_one_than_have_one(
    runnable: int, cpu_s: float, is_short: bool
) -> None:
    wall_ns, cpu_ns = iter([0, NS_PER_S]), iter([0, round(cpu_s * NS_PER_S)])
    share = ProcessorShare(lambda: runnable, wall_ns.__next__, cpu_ns.__next__)
    share.look()
    assert share.is_short() is is_short
    assert (share.wall_ns, share.cpu_ns) == (NS_PER_S, round(cpu_s * NS_PER_S))


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_threads_that_wait_are_not_runnable_and_those_that_compute_are(stop: threading.Event) -> None:
    reader, writer = os.pipe()
    blocked = [threading.Thread(target=stop.wait) for _ in range(3)] + [
        threading.Thread(target=os.read, args=(reader, 1))
    ]
    for thread in blocked:
        thread.start()
    wait_until(lambda: runnable_threads() == 0, "all are blocked")

    def compute() -> None:
        while not stop.is_set():
            pow(3, 20_000, 10**4000)

    busy = threading.Thread(target=compute)
    busy.start()
    wait_until(lambda: runnable_threads() == 1, "one computes")
    stop.set()
    os.write(writer, b"x")
    for thread in [*blocked, busy]:
        thread.join(60)
    os.close(reader)
    os.close(writer)

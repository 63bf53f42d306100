"""A worker never makes its producer wait, keeps the newest, and is fair."""

import threading

from daemon.runtime.worker import Worker


class Gate:
    """Work that waits until it is let through."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.done: list[str] = []

    def work(self, job: str, index: int) -> None:
        self.entered.release()
        assert self.open.acquire(timeout=10)
        self.done.append(job)


def test_the_oldest_of_a_full_queue_is_displaced() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=2)
    worker.start()
    assert worker.offer("s", "busy") is None
    assert gate.entered.acquire(timeout=10)
    assert [worker.offer("s", job) for job in ("a", "b", "c", "d")] == [None, None, "a", "b"]
    gate.open.release(10)
    assert worker.close(10)
    assert gate.done == ["busy", "c", "d"]


def test_keys_take_turns() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=8)
    worker.start()
    worker.offer("loud", "busy")
    assert gate.entered.acquire(timeout=10)
    for index in range(3):
        worker.offer("loud", f"loud {index}")
    worker.offer("quiet", "quiet 0")
    worker.offer("quiet", "quiet 1")
    gate.open.release(10)
    assert worker.close(10)
    assert gate.done == ["busy", "loud 0", "quiet 0", "loud 1", "quiet 1", "loud 2"]


def test_a_job_that_fails_does_not_end_the_worker() -> None:
    done: list[int] = []

    def work(job: int, index: int) -> None:
        done.append(1 // job)

    worker = Worker("test", work, capacity=4)
    worker.start()
    worker.offer("s", 0)
    worker.offer("s", 1)
    assert worker.close(10)
    assert done == [1]


def test_close_says_when_work_hangs() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=1)
    worker.start()
    worker.offer("s", "stuck")
    assert gate.entered.acquire(timeout=10)
    assert not worker.close(0.05)
    gate.open.release()
    assert worker.close(10)

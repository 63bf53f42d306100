"""A worker never blocks its producer, drops the oldest jobs, and serves all keys fairly."""

import threading
import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from daemon.runtime.worker import Worker


class Gate:
    """Work that waits until the gate opens."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Semaphore(0)
        self.done: list[str] = []

    def work(self, job: str, index: int) -> None:
        self.begun.release()
        assert self.open.acquire(timeout=60)
        self.done.append(job)


def test_the_oldest_of_a_full_queue_is_displaced() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=2)
    worker.start()
    assert worker.offer("s", "busy") == []
    assert gate.begun.acquire(timeout=60)
    assert [worker.offer("s", job) for job in ("a", "b", "c", "d")] == [[], [], ["a"], ["b"]]
    gate.open.release(10)
    assert worker.close(10)
    assert gate.done == ["busy", "c", "d"]


def test_keys_take_turns() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=8)
    worker.start()
    worker.offer("loud", "busy")
    assert gate.begun.acquire(timeout=60)
    for index in range(3):
        worker.offer("loud", f"loud {index}")
    worker.offer("quiet", "quiet 0")
    worker.offer("quiet", "quiet 1")
    gate.open.release(10)
    assert worker.close(10)
    assert gate.done == ["busy", "quiet 0", "loud 0", "quiet 1", "loud 1", "loud 2"]


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


def test_close_reports_work_that_hangs() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=1)
    worker.start()
    worker.offer("s", "stuck")
    assert gate.begun.acquire(timeout=60)
    assert not worker.close(0.05)
    gate.open.release()
    assert worker.close(10)


def shares_of(keys: int, threads: int, first: int) -> Counter[str]:
    """Return each key's share of the first jobs, where every key always has jobs."""
    taken: list[str] = []
    worker = Worker[str]("test", lambda job, _: taken.append(job), capacity=first, threads=threads)
    for key in range(keys):
        for _ in range(first // keys + threads + 1):
            worker.put(str(key), str(key))
    worker.start()
    assert worker.close(10)
    shares = Counter(taken[:first])
    return Counter({str(key): shares[str(key)] for key in range(keys)})


@given(keys=st.integers(1, 9), first=st.integers(1, 200))
def test_keys_that_always_have_jobs_get_equal_shares(keys: int, first: int) -> None:
    shares = shares_of(keys, 1, first)
    assert max(shares.values()) - min(shares.values()) <= 1


@given(keys=st.integers(1, 9), first=st.integers(1, 200), threads=st.integers(2, 4))
def test_with_several_threads_each_may_be_one_job_behind(keys: int, first: int, threads: int) -> None:
    shares = shares_of(keys, threads, first)
    assert max(shares.values()) - min(shares.values()) <= threads


@given(
    demands=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    services=st.integers(1, 60),
)
def test_a_key_below_its_share_gets_everything_and_the_rest_is_shared_equally(
    demands: list[int], services: int
) -> None:
    """Each key has `demands` jobs waiting; one thread that takes `services` of them serves them max-min fair."""
    gate = Gate()
    worker = Worker("test", gate.work, capacity=40)
    for key, demand in enumerate(demands):
        for _ in range(demand):
            worker.offer(str(key), str(key))
    gate.open.release(services + sum(demands))
    worker.start()
    assert worker.close(10)
    got = Counter(gate.done[:services])
    least_of_the_rest = min((got[str(key)] for key, demand in enumerate(demands) if got[str(key)] < demand), default=0)
    for key, demand in enumerate(demands):
        assert got[str(key)] == demand or got[str(key)] <= least_of_the_rest + 1


def test_the_least_recently_served_key_is_next_and_displacing_keeps_its_place() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=1)
    worker.start()
    worker.offer("a", "busy")
    assert gate.begun.acquire(timeout=60)
    for key in ("a", "b", "c", "seldom"):
        worker.offer(key, key)
    assert worker.offer("a", "a newer") == ["a"]
    gate.open.release(10)
    assert worker.close(10)
    assert gate.done == ["busy", "b", "c", "seldom", "a newer"]


@given(keys=st.integers(2, 9), served=st.integers(1, 9))
def test_bursts_that_always_come_in_the_same_order_are_shared_equally(keys: int, served: int) -> None:
    """Cameras that deliver at the same time, more often than all can be encoded, cause such bursts."""
    gate = Gate()
    worker = Worker("test", gate.work, capacity=1)
    worker.start()
    worker.offer("first", "first")
    assert gate.begun.acquire(timeout=60)
    bursts, a_burst = 30, min(served, keys)
    for _ in range(bursts):
        for key in range(keys):
            worker.offer(str(key), str(key))
        for _ in range(a_burst):
            gate.open.release()
            assert gate.begun.acquire(timeout=60)
    shares = Counter(gate.done[1:])
    gate.open.release(keys + 2)
    assert worker.close(10)
    counts = [shares[str(key)] for key in range(keys)]
    assert max(counts) - min(counts) <= 1


def test_several_threads_work_for_one_key_at_once() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=1)
    worker.start()
    worker.grow(3)
    for job in ("a", "b", "c"):
        assert worker.offer("s", job) == []
        assert gate.begun.acquire(timeout=60)
    assert [progress.snapshot().loop for progress in worker.heartbeats] == ["test", "test-2", "test-3"]
    gate.open.release(3)
    assert worker.close(10)
    assert sorted(gate.done) == ["a", "b", "c"]


def test_a_job_goes_only_to_threads_that_can_do_it() -> None:
    done: list[tuple[int, int]] = []
    worker = Worker[int](
        "test", lambda job, index: done.append((job, index)), capacity=500, threads=4, thread_limit=lambda job: job
    )
    for number in range(400):
        worker.offer(str(number % 3), 1 + number % 4)
    worker.start()
    assert worker.close(10)
    assert len(done) == 400
    assert all(index < job for job, index in done)


def test_put_displaces_nothing() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=1)
    for job in ("a", "b", "c"):
        worker.put("s", job)
    worker.start()
    gate.open.release(3)
    assert worker.close(10)
    assert gate.done == ["a", "b", "c"]


def test_a_job_that_waits_too_long_shows_that_only_the_newest_can_be_done() -> None:
    gate = Gate()
    worker = Worker("test", gate.work, capacity=8, patience_s=0.05)
    worker.start()
    worker.offer("s", "busy")
    assert gate.begun.acquire(timeout=60)
    assert [worker.offer("s", job) for job in ("a", "b")] == [[], []]
    assert worker.offer("other", "c") == []
    time.sleep(0.06)
    assert worker.offer("s", "d") == ["a", "b"]
    assert worker.offer("s", "e") == [], "a burst is done whole"
    gate.open.release(10)
    assert worker.close(10)
    assert sorted(gate.done) == ["busy", "c", "d", "e"]

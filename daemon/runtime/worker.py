"""Threads that process bounded queues of jobs, one queue for each key."""

import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from daemon.core.logs import rate_limited_logger
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.runtime.heartbeat import IDLE_S, Heartbeat
from daemon.runtime.thread_loop import LoopThread

Job = TypeVar("Job")
log = rate_limited_logger(__name__)


class Worker(Generic[Job]):
    """Runs `work(job, thread index)` for every job, in one of its threads.

    Each key (a stream) has a queue of at most `capacity` jobs. A further job displaces the oldest, so that a producer
    never waits. When the oldest has waited for `patience_s`, the threads cannot keep up, and a further job displaces
    all. The least recently served key goes next, so that every key gets its share. Several threads may work for one key
    at once; its jobs then finish in any order.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Job, int], None],
        capacity: int,
        *,
        patience_s: float = math.inf,
        threads: int = 1,
        thread_limit: Callable[[Job], int] | None = None,
    ) -> None:
        """Create the threads; `start` starts them.

        `thread_limit` returns how many threads can do a job: those of the lowest indices. None: all threads can.
        """
        self._name, self._work, self._thread_limit = name, work, thread_limit
        self.capacity = capacity
        self._patience_ns = patience_s * NS_PER_S
        # each job with the instant at which it was queued
        self._queues: dict[str, deque[tuple[int, Job]]] = {}
        self._turns = 0
        self._last_turn: dict[str, int] = {}
        self._changed = threading.Condition()
        self._started = self._closing = False
        self._threads: list[LoopThread] = []
        self.heartbeats: list[Heartbeat] = []
        self.grow(threads)

    def start(self) -> None:
        """Start the threads."""
        self._started = True
        for thread in self._threads:
            thread.start()

    def grow(self, threads: int) -> None:
        """Add threads until there are this many."""
        for index in range(len(self._threads), threads):
            name = self._name if index == 0 else f"{self._name}-{index + 1}"
            heartbeat = Heartbeat(name)
            thread = LoopThread(heartbeat, partial(self._run, index, heartbeat))
            if self._started:
                thread.start()
            self.heartbeats.append(heartbeat)
            self._threads.append(thread)

    def offer(self, key: str, job: Job) -> list[Job]:
        """Queue a job and return the jobs that it displaced. Never blocks."""
        displaced: list[Job] = []
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            if queue and monotonic_ns() - queue[0][0] > self._patience_ns:
                displaced += [each for _, each in queue]
                queue.clear()
            elif len(queue) >= self.capacity:
                displaced.append(queue.popleft()[1])
            self._append(queue, job)
        return displaced

    def put(self, key: str, job: Job) -> None:
        """Queue a job beyond the capacity too, for a producer that waits for the results of its jobs."""
        with self._changed:
            self._append(self._queues.setdefault(key, deque()), job)

    def request_close(self) -> None:
        """Ask the threads to process the queued jobs, then to end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def close(self, deadline_s: float) -> bool:
        """Process the queued jobs, then end; return whether all threads ended within the deadline."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        self.request_close()
        return all(thread.join(seconds_until(deadline_ns)) for thread in self._threads)

    def _append(self, queue: deque[tuple[int, Job]], job: Job) -> None:
        queue.append((monotonic_ns(), job))
        self._changed.notify(len(self._threads))  # a single thread that wakes up might not be able to do the job

    def _run(self, index: int, heartbeat: Heartbeat) -> None:
        while (job := self._next(index, heartbeat)) is not None:
            heartbeat.mark()
            try:
                self._work(job, index)
            except Exception:
                log.exception("%s: a job failed", heartbeat.loop)
            del job  # a thread that waits must not keep what the job refers to

    def _next(self, index: int, heartbeat: Heartbeat) -> Job | None:
        """Return the next job for this thread, after waiting for one; None when the worker is closed."""
        with self._changed:
            while (key := self._next_key(index)) is None:
                if self._closing and not self._queues:
                    return None
                heartbeat.mark()
                self._changed.wait(IDLE_S)
            queue = self._queues.pop(key)
            _, job = queue.popleft()
            if queue:
                self._queues[key] = queue
            self._turns += 1
            self._last_turn[key] = self._turns
            more_threads_can = bool(queue) and self._limit(queue[0][1]) > self._limit(job)
            if more_threads_can or (self._closing and not self._queues):
                self._changed.notify_all()
            return job

    def _next_key(self, index: int) -> str | None:
        """Return the least recently served key whose next job this thread can do.

        In arrival order, keys that always come first in a burst would be served in each burst, the others in every
        second one.
        """
        able = [key for key, queue in self._queues.items() if index < self._limit(queue[0][1])]
        return min(able, key=lambda key: self._last_turn.get(key, 0), default=None)

    def _limit(self, job: Job) -> int:
        return len(self._threads) if self._thread_limit is None else self._thread_limit(job)

"""Threads that work off bounded queues, one per key, in turn."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from daemon.core.logs import rate_limited_logger
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.runtime.heartbeat import IDLE_S, Heartbeat

Job = TypeVar("Job")
log = rate_limited_logger(__name__)


class Worker(Generic[Job]):
    """Runs `work` on every job, in one of its threads, whose index it is given.

    Each key (a stream) has a queue of at most `capacity` jobs: a further one displaces the oldest, so that a producer
    never waits. Of the keys with jobs that which was served longest ago has its turn, so that none gets less than its
    share while another gets more. (In the order in which jobs come, keys that are always first in a burst would be
    served in each burst, and the others in every second.) Several threads may work for one key at once, and then finish
    in any order.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Job, int], None],
        capacity: int,
        *,
        threads: int = 1,
        thread_limit: Callable[[Job], int] | None = None,
    ) -> None:
        """`thread_limit` says how many threads can do a job: those of the lowest indices; None: all can do any."""
        self._name, self._work = name, work
        self._thread_limit = thread_limit or (lambda _: len(self._threads))
        self.capacity = capacity
        self._queues: dict[str, deque[Job]] = {}
        self._turns = 0
        self._served: dict[str, int] = {}
        """The latest turn of each key."""
        self._changed = threading.Condition()
        self._started = self._closing = False
        self._threads: list[threading.Thread] = []
        self.heartbeats: list[Heartbeat] = []
        self.grow(threads)

    def start(self) -> None:
        """Begin to work."""
        self._started = True
        for thread in self._threads:
            thread.start()

    def grow(self, threads: int) -> None:
        """Have so many threads at least."""
        for index in range(len(self._threads), threads):
            name = self._name if index == 0 else f"{self._name}-{index + 1}"
            self.heartbeats.append(progress := Heartbeat(name))
            thread = threading.Thread(target=self._run, args=(index, progress), name=name, daemon=True)
            self._threads.append(thread)
            if self._started:
                thread.start()

    def offer(self, key: str, job: Job) -> Job | None:
        """Queue a job without ever blocking; gives back the job it displaced, if any, whose place it takes."""
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            displaced = queue.popleft() if len(queue) >= self.capacity else None
            self._append(queue, job)
        return displaced

    def put(self, key: str, job: Job) -> None:
        """Queue a job whatever else waits: for who waits for what it has queued."""
        with self._changed:
            self._append(self._queues.setdefault(key, deque()), job)

    def close(self, deadline_s: float) -> bool:
        """Work off what is queued, then end; says whether all ended within the deadline."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds_until(deadline_ns))
        return not any(thread.is_alive() for thread in self._threads)

    def _append(self, queue: deque[Job], job: Job) -> None:
        queue.append(job)
        self._changed.notify(len(self._threads))  # the one that wakes up may not be one that can do it

    def _run(self, index: int, progress: Heartbeat) -> None:
        progress.begin()
        while (job := self._next(index, progress)) is not None:
            progress.mark()
            try:
                self._work(job, index)
            except Exception:
                log.exception("%s: a job failed", self._threads[index].name)

    def _next(self, index: int, progress: Heartbeat) -> Job | None:
        with self._changed:
            while (key := self._turn(index)) is None:
                if self._closing and not self._queues:
                    return None
                progress.mark()
                self._changed.wait(IDLE_S)
            queue = self._queues.pop(key)
            job = queue.popleft()
            if queue:
                self._queues[key] = queue
            self._turns += 1
            self._served[key] = self._turns
            is_for_more = bool(queue) and self._thread_limit(queue[0]) > self._thread_limit(job)
            if is_for_more or (self._closing and not self._queues):
                self._changed.notify_all()
            return job

    def _turn(self, index: int) -> str | None:
        """The key that was served longest ago, of those whose next job this thread can do."""
        able = [key for key, queue in self._queues.items() if index < self._thread_limit(queue[0])]
        return min(able, key=lambda key: self._served.get(key, 0), default=None)

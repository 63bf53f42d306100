"""One thread that works off bounded queues, one per key, in turn."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from daemon.runtime.progress import IDLE_S, Progress

Job = TypeVar("Job")
log = logging.getLogger(__name__)


class Worker(Generic[Job]):
    """Runs `work` on every job in a thread of its own.

    Each key (a stream) has a queue of at most `capacity` jobs: a further one displaces the oldest, so that a producer
    never waits. Keys with jobs take turns, so that a busy one cannot starve the others.
    """

    def __init__(self, name: str, work: Callable[[Job], None], capacity: int) -> None:
        self._work = work
        self.capacity = capacity
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._changed = threading.Condition()
        self._closing = False
        self.progress = Progress(name)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def offer(self, key: str, job: Job) -> Job | None:
        """Queue a job without ever blocking; gives back the job it displaced, if any."""
        with self._changed:
            queue = self._queues.setdefault(key, deque())
            displaced = queue.popleft() if len(queue) >= self.capacity else None
            queue.append(job)
            self._changed.notify()
        return displaced

    def close(self, deadline_s: float) -> bool:
        """Work off what is queued, then end; says whether it ended within the deadline."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self.progress.begin()
        while (job := self._next()) is not None:
            self.progress.mark()
            try:
                self._work(job)
            except Exception:
                log.exception("%s: a job failed", self._thread.name)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._queues:
                if self._closing:
                    return None
                self.progress.mark()
                self._changed.wait(IDLE_S)
            key, queue = self._queues.popitem(last=False)
            job = queue.popleft()
            if queue:
                self._queues[key] = queue
            return job

"""The encoders of a bundle on their threads, shared by all streams."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.core.errors import InputError, ModelError
from daemon.core.logs import rate_limited_logger
from daemon.core.ports import Encoder
from daemon.core.records import Counters, Embedding, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.runtime.heartbeat import Heartbeat
from daemon.runtime.worker import Worker

log = rate_limited_logger(__name__)

# How many jobs of one stream may wait. Of pictures only the newest counts; some sound and text may queue.
CAPACITY: Mapping[Modality, int] = {"image": 1, "audio": 8, "text": 16}

# When sound has waited for so long its encoder cannot keep up. Then only the newest patch waits. A burst of patches, as
# after a pause of a network, is encoded in less. Every line of text counts, so lines wait.
PATIENCE_S: Mapping[Modality, float] = {"image": math.inf, "audio": 0.5, "text": math.inf}

# Takes the embedding of an item, or None when there is none. Runs on the encoder's thread.
OnEncoded = Callable[[Embedding | None], None]

# Several threads may encode for one stream, and so count with the same counters.
_counters_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Job:
    encoders: Sequence[Encoder[Any]]
    item: Any
    on_encoded: OnEncoded
    counters: Counters


class EncoderPool:
    """Encodes the prepared items of all streams. Each encoder has a thread, and more where several are alike."""

    def __init__(
        self,
        encoders: Mapping[str, Sequence[Encoder[Any]]],
        modalities: Mapping[str, Modality],
        before: "EncoderPool | None" = None,
    ) -> None:
        """`encoders` and `modalities` by the encoders' names. The threads of the pool `before`, which run, are shared.

        Raises OSError where the system has room for no more threads.
        """
        self._encoders = encoders
        self._modalities = modalities
        # an encoder of the same name and another modality queues in another way
        self._workers: dict[tuple[str, Modality], Worker[_Job]] = {} if before is None else before._workers
        for name, alike in encoders.items():
            worker = self._workers.get((name, modalities[name]))
            if worker is None:
                worker = _new_worker(name, modalities[name])
                if before is not None:
                    worker.start()
                self._workers[name, modalities[name]] = worker
            worker.grow(len(alike))

    def followed_by(
        self, encoders: Mapping[str, Sequence[Encoder[Any]]], modalities: Mapping[str, Modality]
    ) -> "EncoderPool":
        """Return the pool of another bundle, on the same threads and queues, and on further ones where it needs them.

        Threads that the other bundle does not need stay idle. Only for a pool that has started.
        """
        return EncoderPool(encoders, modalities, self)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers.values():
            worker.start()

    @property
    def progress(self) -> list[Heartbeat]:
        """The heartbeats of all threads."""
        return [progress for worker in self._workers.copy().values() for progress in worker.heartbeats]

    def room(self, encoder: str) -> int:
        """Return how many items of one stream can be encoded and wait at the same time."""
        return len(self._encoders[encoder]) + CAPACITY[self._modalities[encoder]]

    def offer(self, stream: str, encoder: str, item: Any, on_encoded: OnEncoded, counters: Counters) -> None:
        """Queue an item without blocking.

        When the queue is full, its oldest item is dropped: counted as `busy`, and its `on_encoded` gets None. When the
        oldest has waited for longer than PATIENCE_S, all are dropped.
        """
        job = _Job(self._encoders[encoder], item, on_encoded, counters)
        for displaced in self._worker(encoder).offer(stream, job):
            displaced.counters.drop("busy")
            displaced.on_encoded(None)

    def queue(self, stream: str, encoder: str, item: Any, on_encoded: OnEncoded, counters: Counters) -> None:
        """Queue an item and drop none. The caller has no more than `room` items in the pool."""
        self._worker(encoder).put(stream, _Job(self._encoders[encoder], item, on_encoded, counters))

    def close(self, deadline_s: float) -> None:
        """Encode the queued items, then end the threads."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        workers = self._workers.copy()
        for worker in workers.values():  # all at once, so that one that hangs takes no time from the others
            worker.request_close()
        for (encoder, _), worker in workers.items():
            if not worker.close(seconds_until(deadline_ns)):
                log.error("the encoder %s did not finish within %.1f s; left behind", encoder, deadline_s)

    def _worker(self, encoder: str) -> "Worker[_Job]":
        return self._workers[encoder, self._modalities[encoder]]


def _new_worker(encoder: str, modality: Modality) -> "Worker[_Job]":
    return Worker(
        f"encode-{encoder}", _encode, CAPACITY[modality], patience_s=PATIENCE_S[modality], thread_limit=_thread_limit
    )


def _thread_limit(job: _Job) -> int:
    return len(job.encoders)


def _encode(job: _Job, index: int) -> None:
    encoder, embedding = job.encoders[index], None
    try:
        embedding = encoder.encode(job.item)
    except (InputError, ModelError) as error:
        log.warning("%s: %s", encoder.name, error)
    finally:
        _count(job.counters, embedding)
        job.on_encoded(embedding)


def _count(counters: Counters, embedding: Embedding | None) -> None:
    with _counters_lock:
        if embedding is None:
            counters.drop("encoder_failed")
        else:
            counters.encoded += 1

"""The encoders of a bundle on their threads, shared by all streams, and the preparation of their inputs."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.bundle.encoder_specs import AudioSpec, TextSpec
from daemon.bundle.manifest import Manifest
from daemon.core.errors import InputError, ModelError
from daemon.core.logs import rate_limited_logger
from daemon.core.ports import Encoder
from daemon.core.records import Block, Captured, Counters, Embedding, Frame, Modality
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.encoders.audio import AudioFrontEnd, Patch
from daemon.encoders.text import utf8
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
    """Encodes the prepared items of all streams. Each encoder of a modality has a thread."""

    def __init__(
        self,
        encoders: Mapping[Modality, Sequence[Encoder[Any]]],
        workers: "Mapping[Modality, Worker[_Job]] | None" = None,
    ) -> None:
        """`workers` are the threads of another pool, which this pool then shares."""
        self._encoders = encoders
        self._workers = workers or {
            modality: Worker(
                f"encode-{modality}",
                _encode,
                CAPACITY[modality],
                patience_s=PATIENCE_S[modality],
                thread_limit=_thread_limit,
            )
            for modality in encoders
        }
        for modality, alike in encoders.items():
            self._workers[modality].grow(len(alike))

    def followed_by(self, encoders: Mapping[Modality, Sequence[Encoder[Any]]]) -> "EncoderPool":
        """Return the pool of another bundle with the same modalities, on the same threads and queues.

        When the other bundle has fewer encoders, some threads stay idle.
        """
        return EncoderPool(encoders, self._workers)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers.values():
            worker.start()

    @property
    def progress(self) -> list[Heartbeat]:
        """The heartbeats of all threads."""
        return [progress for worker in self._workers.values() for progress in worker.heartbeats]

    def room(self, modality: Modality) -> int:
        """Return how many items of one stream can be encoded and wait at the same time."""
        return len(self._encoders[modality]) + CAPACITY[modality]

    def offer(self, stream: str, modality: Modality, item: Any, on_encoded: OnEncoded, counters: Counters) -> None:
        """Queue an item without blocking.

        When the queue is full, its oldest item is dropped: counted as `busy`, and its `on_encoded` gets None. When the
        oldest has waited for longer than PATIENCE_S, all are dropped.
        """
        job = _Job(self._encoders[modality], item, on_encoded, counters)
        for displaced in self._workers[modality].offer(stream, job):
            displaced.counters.drop("busy")
            displaced.on_encoded(None)

    def queue(self, stream: str, modality: Modality, item: Any, on_encoded: OnEncoded, counters: Counters) -> None:
        """Queue an item and drop none. The caller has no more than `room` items in the pool."""
        self._workers[modality].put(stream, _Job(self._encoders[modality], item, on_encoded, counters))

    def close(self, deadline_s: float) -> None:
        """Encode the queued items, then end the threads."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        for modality, worker in self._workers.items():
            if not worker.close(seconds_until(deadline_ns)):
                log.error("the %s encoder did not finish within %.1f s; left behind", modality, deadline_s)


class Preparation:
    """Turns the captured items of one stream into encoder inputs for one bundle."""

    def __init__(self, manifest: Manifest, counters: Mapping[Modality, Counters]) -> None:
        self._modalities = manifest.senses
        self._counters = counters
        audio = next(iter(manifest.of_modality(AudioSpec).values()), None)
        text = next(iter(manifest.of_modality(TextSpec).values()), None)
        self._preprocessing = audio.preprocessing if audio else None
        self._front_end = AudioFrontEnd(audio.preprocessing) if audio else None
        self._max_text_bytes = text.input.shape[1] if text else 0

    def prepare(self, captured: Captured, encode: bool = True) -> list[tuple[Modality, Any]]:
        """Return the encoder inputs with their modality.

        With `encode` false the gate is closed: the result is empty, and each input left out is counted. An item that
        cannot be used, or is cut, is counted too. An item of a modality that the bundle lacks is ignored.
        """
        if isinstance(captured, Block):
            return [("audio", patch) for patch in self._patches(captured, encode)]
        if isinstance(captured, Frame):
            return self._picture(captured, encode)
        if "text" not in self._modalities:
            return []
        if len(utf8(captured.text)) > self._max_text_bytes:
            self._counters["text"].drop("cut")
        return [("text", captured)]

    def shares_front_end(self, other: "Preparation") -> bool:
        """Whether both make the same patches of the same sound."""
        return self._preprocessing == other._preprocessing

    def adopt_front_end(self, other: "Preparation") -> None:
        """Continue in the middle of the other's sound; `shares_front_end` must be true."""
        self._front_end = other._front_end

    def warm_up(self, blocks: Iterable[Block]) -> None:
        """Fill the front end with earlier blocks. Their patches are discarded."""
        for block in blocks:
            self._patches(block)

    def _picture(self, frame: Frame, encode: bool) -> list[tuple[Modality, Any]]:
        if "image" not in self._modalities:
            return []
        if not encode:
            self._counters["image"].drop("gate_closed")
            return []
        return [("image", frame)]

    def _patches(self, block: Block, encode: bool = True) -> list[Patch]:
        if self._front_end is None:
            return []
        skipped_before = self._front_end.skipped
        try:
            patches = self._front_end.push(block, encode)
            if skipped := self._front_end.skipped - skipped_before:
                self._counters["audio"].drop("gate_closed", skipped)
            return patches
        except InputError as error:
            self._counters["audio"].drop("wrong_rate")
            log.warning("%s", error)
            return []


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

"""The encoders of a bundle at work: a thread for each, shared by all streams."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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

CAPACITY: Mapping[Modality, int] = {"image": 1, "audio": 8, "text": 16}
"""Jobs that wait, per stream: of pictures only the newest counts, of sound and text some may queue."""

Done = Callable[[Embedding | None], None]
"""Takes the embedding, or None when there is none, on the encoder's thread."""

_counting = threading.Lock()
"""Several threads may encode for one stream."""


@dataclass(frozen=True, slots=True)
class _Job:
    encoders: Sequence[Encoder[Any]]
    item: Any
    done: Done
    counters: Counters


class Encoders:
    """Takes prepared input of any stream and encodes it on the modality's own threads, one for each of its encoders."""

    def __init__(
        self,
        encoders: Mapping[Modality, Sequence[Encoder[Any]]],
        workers: "Mapping[Modality, Worker[_Job]] | None" = None,
    ) -> None:
        """`workers` are the threads of other encoders, to share them."""
        self._encoders = encoders
        self._workers = workers or {
            modality: Worker(f"encode-{modality}", _work, CAPACITY[modality], thread_limit=_thread_limit)
            for modality in encoders
        }
        for modality, alike in encoders.items():
            self._workers[modality].grow(len(alike))

    def followed_by(self, encoders: Mapping[Modality, Sequence[Encoder[Any]]]) -> "Encoders":
        """Another bundle's encoders of the same modalities, on the same threads: what comes first is encoded first.

        Where there are fewer of them, some threads have nothing to do.
        """
        return Encoders(encoders, self._workers)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._workers.values():
            worker.start()

    @property
    def progress(self) -> list[Heartbeat]:
        """Of every thread."""
        return [progress for worker in self._workers.values() for progress in worker.heartbeats]

    def room(self, modality: Modality) -> int:
        """How many items of one stream can be at work and waiting."""
        return len(self._encoders[modality]) + CAPACITY[modality]

    def offer(self, stream: str, modality: Modality, item: Any, done: Done, counters: Counters) -> None:
        """Queue an item without blocking; what it displaces is counted as `busy`, and done with None."""
        displaced = self._workers[modality].offer(stream, _Job(self._encoders[modality], item, done, counters))
        if displaced is not None:
            displaced.counters.drop("busy")
            displaced.done(None)

    def queue(self, stream: str, modality: Modality, item: Any, done: Done, counters: Counters) -> None:
        """Queue an item that displaces none; who uses this has no more than `room` under way."""
        self._workers[modality].put(stream, _Job(self._encoders[modality], item, done, counters))

    def close(self, deadline_s: float) -> None:
        """Encode what is queued, then end the threads."""
        deadline_ns = monotonic_ns() + round(deadline_s * NS_PER_S)
        for modality, worker in self._workers.items():
            if not worker.close(seconds_until(deadline_ns)):
                log.error("the %s encoder did not finish within %.1f s; left behind", modality, deadline_s)


def _thread_limit(job: _Job) -> int:
    return len(job.encoders)


def _work(job: _Job, index: int) -> None:
    encoder, embedding = job.encoders[index], None
    try:
        embedding = encoder.encode(job.item)
    except (InputError, ModelError) as error:
        log.warning("%s: %s", encoder.modality, error)
    finally:
        _count(job.counters, embedding)
        job.done(embedding)


def _count(counters: Counters, embedding: Embedding | None) -> None:
    with _counting:
        if embedding is None:
            counters.drop("encoder_failed")
        else:
            counters.encoded += 1


class Preparation:
    """Turns what one stream captures into what the encoders take; what no encoder wants is passed over."""

    def __init__(self, manifest: Manifest, counters: Mapping[Modality, Counters]) -> None:
        self._wanted = manifest.modalities.present().keys()
        self._counters = counters
        audio, text = manifest.modalities.audio, manifest.modalities.text
        self._hears = audio.preprocessing if audio else None
        self._front_end = AudioFrontEnd(audio.preprocessing) if audio else None
        self._max_text_bytes = text.input.shape[1] if text else 0

    def prepare(self, captured: Captured, wanted: bool = True) -> list[tuple[Modality, Any]]:
        """The modality and the items to encode; what cannot be used, or not whole, is counted.

        Of what is not `wanted`, because its gate is closed, nothing comes: each item left out is counted.
        """
        if isinstance(captured, Block):
            return [("audio", patch) for patch in self._patches(captured, wanted)]
        if isinstance(captured, Frame):
            return self._picture(captured, wanted)
        if "text" not in self._wanted:
            return []
        if len(utf8(captured.text)) > self._max_text_bytes:
            self._counters["text"].drop("cut")
        return [("text", captured)]

    def hears_like(self, other: "Preparation") -> bool:
        """Whether another bundle's makes the same patches of the same sound."""
        return self._hears == other._hears

    def hear_on(self, other: "Preparation") -> None:
        """Go on where another one stands that hears alike."""
        self._front_end = other._front_end

    def hear(self, heard: Iterable[Block]) -> None:
        """Know what was heard before; the patches of it were another bundle's to recognise."""
        for block in heard:
            self._patches(block)

    def _picture(self, frame: Frame, wanted: bool) -> list[tuple[Modality, Any]]:
        if "image" not in self._wanted:
            return []
        if not wanted:
            self._counters["image"].drop("gate_closed")
            return []
        return [("image", frame)]

    def _patches(self, block: Block, wanted: bool = True) -> list[Patch]:
        if self._front_end is None:
            return []
        skipped_before = self._front_end.skipped
        try:
            patches = self._front_end.push(block, wanted)
            if skipped := self._front_end.skipped - skipped_before:
                self._counters["audio"].drop("gate_closed", skipped)
            return patches
        except InputError as error:
            self._counters["audio"].drop("wrong_rate")
            log.warning("%s", error)
            return []

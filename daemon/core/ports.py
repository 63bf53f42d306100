"""The seams between the rooms: what a room offers to `app.py`, and what it may ask for."""

from collections.abc import Callable
from threading import Event
from typing import Protocol, TypeVar

from daemon.core.records import Captured, Embedding, Modality, Tensor

Deliver = Callable[[Captured], None]
"""Takes a frame, block or line from a source's thread. Never blocks in live use; in replay as fast as possible
it blocks until there is room."""

Item = TypeVar("Item", contravariant=True)


class Source(Protocol):
    """A camera, microphone, replay: one blocking function.

    `drift_ppm` says how fast the source's clock runs against this machine's, in parts per million; None: not known.
    """

    drift_ppm: float | None

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until `stop` is set or the source has come to its end.

        `stop` is also set when the source is to be opened again: it delivers nothing, say. Returns when stopped or
        ended; no call inside blocks for longer than a few seconds without looking at `stop`. Raises SourceError when it
        cannot open or stops delivering; the caller runs it again.
        """


class Encoder(Protocol[Item]):
    """Turns prepared input of one modality into an embedding; used by one thread at a time."""

    modality: Modality

    def encode(self, item: Item) -> Embedding:
        """Preprocess and invoke. Raises InputError when this item cannot be encoded."""


class Model(Protocol):
    """One loaded network with one input; used by one thread at a time."""

    @property
    def input(self) -> Tensor:
        """What the next `invoke` runs on, to be written in place: always the same memory, of the input's shape."""

    @property
    def device(self) -> str:
        """What ran the latest `invoke`: `cpu`, or an accelerator's name."""

    def invoke(self) -> list[Tensor]:
        """Run on what `input` holds; returns copies of all outputs. Raises ModelError when it fails."""


class TextSink(Protocol):
    """Takes the texts that come over MQTT for one stream, on the MQTT thread."""

    def take(self, payload: bytes, retained: bool) -> None:
        """Take one text; never blocks."""


class Updates(Protocol):
    """What may be asked of the node's bundles, from any thread.

    Nothing blocks: what is taken has only begun when the call returns. Each gives None, or why it was not taken.
    """

    def check(self) -> str | None:
        """Look what the source has, now."""

    def install(self, name: str | None, version: str | None) -> str | None:
        """Install a bundle; without a version the latest, without a name the running bundle's."""

    def rollback(self) -> str | None:
        """Go back to the bundle before."""

    def pin(self, on: bool) -> str | None:
        """Replace the running bundle when asked alone, or by itself again."""

"""Interfaces between rooms: sources, encoders, models, and the requests for bundle updates."""

from threading import Event
from typing import Protocol, TypeVar

from daemon.core.media import DecoderStatus
from daemon.core.records import Captured, Embedding, Tensor

Item = TypeVar("Item", contravariant=True)


class Deliver(Protocol):
    """Takes a frame, block or line from a source's thread."""

    def __call__(self, captured: Captured, /) -> None:
        """Never blocks in live use; in replay as fast as possible it blocks until there is room."""


class Source(Protocol):
    """A camera, microphone or replay."""

    @property
    def drift_ppm(self) -> float | None:
        """Return the speed of the source's clock against this machine's, in parts per million; None: unknown."""

    @property
    def decoder(self) -> DecoderStatus | None:
        """Return what decodes the coded pictures of the source; None: there are none, or not known yet."""

    def run(self, deliver: Deliver, stop: Event) -> None:
        """Deliver until `stop` is set or the source has reached its end.

        `stop` is also set when the source must be reopened, for example because it delivers nothing. A call inside
        may block for a few seconds before `stop` is checked, and for 20 s while a network camera sends nothing yet.
        Raises SourceError when the source cannot be opened or stops delivering; the caller runs it again.
        """


class Encoder(Protocol[Item]):
    """Turns prepared input into an embedding; used by one thread at a time. `name` is its name in the bundle."""

    name: str

    def encode(self, item: Item) -> Embedding:
        """Return the embedding of the item. Raises InputError when this item cannot be encoded."""


class Model(Protocol):
    """One loaded network with one input; used by one thread at a time."""

    @property
    def input(self) -> Tensor:
        """Return the memory that the next `invoke` reads: always the same array, written in place."""

    @property
    def device(self) -> str:
        """Return the device that ran the latest `invoke`: `cpu`, or an accelerator's name."""

    def invoke(self) -> list[Tensor]:
        """Run on the content of `input`; returns copies of all outputs. Raises ModelError when it fails.

        An output that the device lacks is an empty array.
        """


class TextSink(Protocol):
    """Takes the texts that come over MQTT for one stream, on the MQTT thread."""

    def take(self, payload: bytes, retained: bool) -> None:
        """Take one text; never blocks."""


class Updates(Protocol):
    """Requests for the node's bundles, from any thread.

    No method blocks: an accepted request has only begun when the call returns. Each returns None when the request is
    accepted, else the reason why it is not.
    """

    def check(self) -> str | None:
        """Look for new versions at the source, now."""

    def install(self, name: str | None, version: str | None) -> str | None:
        """Install a bundle. Without a version the latest; without a name, the active bundle's name."""

    def rollback(self) -> str | None:
        """Activate the previous bundle again."""

    def pin(self, on: bool) -> str | None:
        """Keep the active bundle until a request replaces it; off: updates replace it again."""

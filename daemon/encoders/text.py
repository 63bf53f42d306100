"""The text encoder: from a line to an embedding, by its UTF-8 bytes."""

from functools import partial

import numpy as np

from daemon.bundle.encoder_specs import TextSpec
from daemon.core.ports import Model
from daemon.core.records import Embedding, Line, Tensor
from daemon.encoders.model_io import Embedder


def utf8(text: str) -> bytes:
    """Return the bytes that are encoded. A lone surrogate becomes a question mark."""
    return text.encode("utf-8", errors="replace")


def byte_ids(text: str, length: int) -> Tensor:
    """Return each UTF-8 byte plus 1, then zeros: int32 of shape (1, length). A longer text is cut."""
    ids = np.zeros((1, length), np.int32)
    encoded = np.frombuffer(utf8(text)[:length], np.uint8)
    ids[0, : len(encoded)] = encoded.astype(np.int32) + 1
    return ids


class TextEncoder:
    """Invokes the model on the bytes of a line, if the text has changed. Used by one thread at a time."""

    def __init__(self, name: str, spec: TextSpec, model: Model) -> None:
        self.name = name
        self._length = spec.input.shape[1]
        self._input = model.input
        self._text: str | None = None
        self._embedder = Embedder(name, model, spec.outputs)

    def encode(self, item: Line) -> Embedding:
        """Return the embedding of one line. Raises ModelError."""
        is_unchanged = item.text == self._text
        self._text = item.text
        return self._embedder.embed(is_unchanged, partial(self._write, item.text), item.captured_ns, item.captured_ns)

    def _write(self, text: str) -> None:
        self._input[...] = byte_ids(text, self._length)

"""The text encoder: a line to an embedding, by way of its UTF-8 bytes."""

import numpy as np

from daemon.encoders.tensors import embedding_vector
from daemon.manifest import TextSpec
from daemon.ports import Model
from daemon.records import Embedding, Line, Modality, Tensor


def utf8(text: str) -> bytes:
    """The bytes that are encoded."""
    return text.encode("utf-8", errors="replace")


def byte_ids(text: str, length: int) -> Tensor:
    """Each UTF-8 byte plus 1, then zeros: int32 of shape (1, length). What is longer is cut."""
    ids = np.zeros((1, length), np.int32)
    kept = np.frombuffer(utf8(text)[:length], np.uint8)
    ids[0, : len(kept)] = kept.astype(np.int32) + 1
    return ids


class TextEncoder:
    """Invokes the model on a line's bytes. Used by one thread at a time."""

    modality: Modality = "text"

    def __init__(self, spec: TextSpec, model: Model) -> None:
        self._spec = spec
        self._model = model

    def encode(self, item: Line) -> Embedding:
        """The embedding of one line."""
        self._model.input[...] = byte_ids(item.text, self._spec.input.shape[1])
        output = self._model.invoke()[0]
        vector = embedding_vector(output, self._spec.output, self._spec.transform)
        return Embedding(self.modality, vector, item.captured_ns, item.captured_ns, self._model.device)

"""The text encoder: a line to an embedding, by way of its UTF-8 bytes."""

import numpy as np

from daemon.encoders.tensors import embedding_vector
from daemon.manifest import TextSpec
from daemon.ports import Model
from daemon.records import Counters, Embedding, Line, Modality, Tensor


def byte_ids(text: str, length: int) -> tuple[Tensor, bool]:
    """Each UTF-8 byte plus 1, then zeros: int32 of shape (1, length); and whether the text had to be cut."""
    raw = text.encode("utf-8", errors="replace")
    ids = np.zeros((1, length), np.int32)
    kept = np.frombuffer(raw[:length], np.uint8)
    ids[0, : len(kept)] = kept.astype(np.int32) + 1
    return ids, len(raw) > length


class TextEncoder:
    """Invokes the model on a line's bytes. Used by one thread at a time."""

    modality: Modality = "text"

    def __init__(self, spec: TextSpec, model: Model) -> None:
        self._spec = spec
        self._model = model
        self.counters = Counters()

    def encode(self, item: Line) -> Embedding:
        """The embedding of one line; a longer one than the model takes is cut, and counted as `cut`."""
        ids, cut = byte_ids(item.text, self._spec.input.shape[1])
        if cut:
            self.counters.drop("cut")
        output = self._model.invoke(ids)[0]
        vector = embedding_vector(output, self._spec.output, self._spec.transform)
        return Embedding(self.modality, vector, item.captured_ns, item.captured_ns)

"""The fusion head: from a moment to scores, and to what each modality contributed."""

from collections.abc import Mapping

import numpy as np

from daemon.errors import ModelError
from daemon.ports import Model
from daemon.records import Array, Modality, Moment, Recognition


class FusionHead:
    """Runs `softmax(W·F + b)` with `F = [embeddings; present]`. Used by one thread at a time.

    `sizes` gives the embedding length of each modality in the head's order.
    """

    def __init__(self, model: Model, sizes: Mapping[Modality, int]) -> None:
        self._model = model
        self._sizes = dict(sizes)
        self._length = sum(sizes.values()) + len(sizes)
        model.input[...] = 0
        scores, _ = self._invoke()
        if not np.all(scores > 0):
            raise ModelError("the head's bias is so large that a label can never be recognised")
        self._bias = _centred(np.log(scores))

    def recognise(self, moment: Moment) -> Recognition:
        """The scores at a moment, with bias and shares centred over the labels."""
        self._fill(self._model.input[0], moment)
        scores, shares = self._invoke()
        centred = _centred(shares)
        present = {m: centred[index] for index, m in enumerate(self._sizes) if m in moment.embeddings}
        return Recognition(moment, scores, self._bias, present)

    def _fill(self, features: Array, moment: Moment) -> None:
        """Write F, of shape (D + M); absent modalities are zero."""
        features[...] = 0
        start, present = 0, self._length - len(self._sizes)
        for index, (modality, size) in enumerate(self._sizes.items()):
            embedding = moment.embeddings.get(modality)
            if embedding is not None:
                features[start : start + size] = embedding.vector
                features[present + index] = 1.0
            start += size

    def _invoke(self) -> tuple[Array, Array]:
        scores, shares = self._model.invoke()
        return scores[0], shares[0]


def _centred(values: Array) -> Array:
    """Softmax ignores a common offset of all labels (the last axis); without it, shares of modalities compare."""
    centred: Array = values - np.add.reduce(values, axis=-1, keepdims=True) / np.float32(values.shape[-1])
    return centred

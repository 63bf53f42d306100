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
        scores, _ = self._invoke(np.zeros((1, self._length), np.float32))
        if not np.all(scores > 0):
            raise ModelError("the head's bias is so large that a label can never be recognised")
        self._bias = _centred(np.log(scores))

    def recognise(self, moment: Moment) -> Recognition:
        """The scores at a moment, with bias and shares centred over the labels."""
        scores, shares = self._invoke(self._features(moment))
        centred = {
            modality: _centred(shares[index])
            for index, modality in enumerate(self._sizes)
            if modality in moment.embeddings
        }
        return Recognition(moment, scores, self._bias, centred)

    def _features(self, moment: Moment) -> Array:
        """F, of shape (1, D + M); absent modalities stay zero."""
        features = np.zeros((1, self._length), np.float32)
        start, present = 0, self._length - len(self._sizes)
        for index, (modality, size) in enumerate(self._sizes.items()):
            embedding = moment.embeddings.get(modality)
            if embedding is not None:
                features[0, start : start + size] = embedding.vector
                features[0, present + index] = 1.0
            start += size
        return features

    def _invoke(self, features: Array) -> tuple[Array, Array]:
        scores, shares = self._model.invoke(features)
        return scores[0], shares[0]


def _centred(values: Array) -> Array:
    """Softmax ignores a common offset; without it, shares of different modalities compare."""
    centred: Array = values - values.mean()
    return centred

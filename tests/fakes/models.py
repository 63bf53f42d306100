"""A fusion head without TFLite, in plain arithmetic."""

from collections.abc import Sequence

import numpy as np

from daemon.core.records import Array, Tensor


class PlainHead:
    """Implements `Model` for a head: scores and shares, computed from the formula.

    Scores are softmax(W·F + b), or independent of each other where there is a `background`.
    """

    device = "cpu"

    def __init__(self, weights: Array, bias: Array, sizes: Sequence[int], background: int | None = None) -> None:
        self._is_independent = background is not None
        if background is not None:
            weights, bias = weights - weights[background], bias - bias[background]
        self.weights, self.bias, self.sizes = weights, bias, sizes
        self.input = np.zeros((1, weights.shape[1]), np.float32)

    def invoke(self) -> list[Tensor]:
        features = self.input[0]
        shares, start = [], 0
        for index, size in enumerate(self.sizes):
            columns = [*range(start, start + size), sum(self.sizes) + index]
            shares.append(self.weights[:, columns] @ features[columns])
            start += size
        logits = self.bias + np.sum(shares, axis=0)
        if self._is_independent:
            with np.errstate(over="ignore"):
                independent = (1 / (1 + np.exp(-logits))).astype(np.float32)
            return [independent[np.newaxis], np.array(shares, np.float32)[np.newaxis]]
        exponentials = np.exp(logits - logits.max())
        scores = (exponentials / exponentials.sum()).astype(np.float32)
        return [scores[np.newaxis], np.array(shares, np.float32)[np.newaxis]]

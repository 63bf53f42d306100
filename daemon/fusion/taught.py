"""The second head of a bundle: scores of the labels that were taught, beside those of the bundle's own head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.core.errors import ModelError
from daemon.core.ports import Model
from daemon.core.records import Array

# Which of the taught labels apply in a stream: their indices among the taught labels.
Scope = NDArray[np.intp]

NO_TAUGHT: Scope = np.array([], np.intp)


@dataclass(frozen=True, slots=True)
class TaughtScores:
    """The scores (T,), bias (T,) and shares (M, T) of the taught labels of a scope."""

    scores: Array
    bias: Array
    shares: Array


class TaughtHead:
    """Runs the head of the labels that were taught. Used by one thread at a time.

    Each score is `sigmoid(W·F + b)`, independent of the other labels.
    """

    def __init__(self, model: Model) -> None:
        """The last label of the model is no taught label: its logit is 0.

        Raises ModelError when the bias gives a label a score of 0 or 1.
        """
        self._model = model
        model.input[...] = 0
        scores, _ = self._invoke()
        if not np.all((scores > 0) & (scores < 1)):
            raise ModelError("the bias of the taught labels is so large that one of them can never be recognised")
        self._bias: Array = np.log(scores) - np.log1p(-scores)
        self.everywhere: Scope = np.arange(len(scores), dtype=np.intp)

    def recognise(self, features: Array, scope: Scope) -> TaughtScores:
        """Return the scores of the labels of a scope; `features` is F (D + M,)."""
        self._model.input[0] = features
        scores, shares = self._invoke()
        return TaughtScores(scores[scope], self._bias[scope], shares[:, scope])

    def _invoke(self) -> tuple[Array, Array]:
        scores, shares = self._model.invoke()
        return scores[0, :-1], shares[0, :, :-1]


def exclusive_scores(logits: Array) -> Array:
    """Return the softmax of logits."""
    exponentials = np.exp(logits - logits.max())
    scores: Array = exponentials / exponentials.sum()
    return scores

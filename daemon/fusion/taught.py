"""The second head of a bundle: scores of the labels that were taught, beside those of the bundle's own head."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.core.ports import Model
from daemon.core.records import Array

# Which of the taught labels apply in a stream: their indices among the taught labels.
Scope = NDArray[np.intp]

NO_TAUGHT: Scope = np.array([], np.intp)

# The group of the labels that make events. Each group of states has a number of its own.
EVENTS = 0


@dataclass(frozen=True, slots=True)
class TaughtScores:
    """Independent scores (T,), bias (T,), shares (M, T) and groups (T,) of the taught labels of a scope."""

    scores: Array
    bias: Array
    shares: Array
    groups: NDArray[np.intp]


class TaughtHead:
    """Runs the head of the labels that were taught. Used by one thread at a time.

    Each score is `sigmoid(W·F + b)`, independent of the other labels.
    """

    def __init__(self, model: Model, bias: Array, states: Sequence[str | None]) -> None:
        """`bias` (T,) is that of the labels. `states` has the group of states of each; None: the label makes events.

        The model has one further label, whose logit is 0. The bias cannot be computed from its scores at F = 0: a large
        one makes them 0 or 1.
        """
        self._model, self._bias = model, bias
        names = [name for name in dict.fromkeys(states) if name is not None]
        self._groups = np.array([EVENTS if name is None else 1 + names.index(name) for name in states], np.intp)
        self.everywhere: Scope = np.arange(len(states), dtype=np.intp)

    def recognise(self, features: Array, scope: Scope) -> TaughtScores:
        """Return the scores of the labels of a scope; `features` is F (D + M,)."""
        self._model.input[0] = features
        scores, shares = self._invoke()
        return TaughtScores(scores[scope], self._bias[scope], shares[:, scope], self._groups[scope])

    def _invoke(self) -> tuple[Array, Array]:
        scores, shares = self._model.invoke()
        return scores[0, :-1], shares[0, :, :-1]


def exclusive_scores(base: Array, taught: Array, groups: NDArray[np.intp]) -> Array:
    """Return the scores (L + T,) of logits of a bundle's own labels (L,), and of labels that were taught (T,).

    Labels that make events exclude each other: they have one softmax. A state lasts while events come and go. So each
    group of states has a softmax of its own, beside the bundle's own labels.
    """
    highest = max(base.max(), taught.max())
    own, added = np.exp(base - highest), np.exp(taught - highest)
    totals = own.sum() + np.bincount(groups, added, 1)
    scores = np.concatenate((own / totals[EVENTS], added / totals[groups]))
    return scores.astype(np.float32)

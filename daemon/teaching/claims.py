"""What the base calls a press by itself: with exclusive scoring nothing that is taught can take it away. Pure."""

from collections.abc import Mapping

import numpy as np

from daemon.core.records import Array
from daemon.teaching.material import Material
from daemon.teaching.rows import BaseLogits, TrainingSet

# The base claims a moment for a label that is more likely than all its others together.
LEAST_CLAIM = 0.5


def claims_of(training: TrainingSet, material: Material, base: BaseLogits) -> Mapping[int, str]:
    """Return the label of the base that is surest of each press, by press. Others have no entry.

    With independent scoring there are none: a press may be several labels at once.
    """
    if training.scoring == "independent" or not training.base_labels:
        return {}
    surest: dict[int, tuple[float, str]] = {}
    for row in material.rows:
        if row.kind == "example":
            scores = _softmax(base(row.vectors))
            label = training.base_labels[int(scores.argmax())]
            score = float(scores.max())
            if label is not None and score >= max(LEAST_CLAIM, surest.get(row.press, (0.0, ""))[0]):
                surest[row.press] = score, label
    return {press: label for press, (_, label) in surest.items()}


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)

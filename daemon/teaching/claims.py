"""What the base calls a press by itself. Pure.

With exclusive scoring nothing that is taught can take such a press away. With independent scoring both are recognised.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from daemon.core.records import Array
from daemon.teaching.material import Material
from daemon.teaching.rows import BaseLogits, TrainingSet

# The base claims a moment for a label that is more likely than all its others together, or than its absence.
LEAST_CLAIM = 0.5

# With independent scoring a label of the base is told that is in this part of the presses at least, and in that part of
# the background at most. Others, such as speech, were there by chance.
PART_OF_PRESSES, PART_OF_BACKGROUND = 0.8, 0.1

# One press may have anything else in it.
LEAST_PRESSES = 2


@dataclass(frozen=True)
class Claims:
    """`taken` has the label of the base that is surest of a press, by press: with exclusive scoring.

    `alike` has the labels of the base that are recognised beside a taught one, with independent scoring. By the index
    of the taught label it says in how many presses.
    """

    taken: Mapping[int, str] = field(default_factory=dict)
    alike: Mapping[int, Mapping[str, int]] = field(default_factory=dict)


def claims_of(training: TrainingSet, material: Material, base: BaseLogits) -> Claims:
    """Return what the base calls the presses."""
    if not training.base_labels:
        return Claims()
    if training.scoring == "independent":
        return Claims(alike=_alike(training, material, base))
    return Claims(taken=_taken(training, material, base))


def _taken(training: TrainingSet, material: Material, base: BaseLogits) -> Mapping[int, str]:
    surest: dict[int, tuple[float, str]] = {}
    for row in material.rows:
        if row.kind == "example":
            scores = _softmax(base(row.vectors))
            label = training.base_labels[int(scores.argmax())]
            score = float(scores.max())
            if label is not None and score >= max(LEAST_CLAIM, surest.get(row.press, (0.0, ""))[0]):
                surest[row.press] = score, label
    return {press: label for press, (_, label) in surest.items()}


def _alike(training: TrainingSet, material: Material, base: BaseLogits) -> Mapping[int, Mapping[str, int]]:
    claimed: dict[int, set[str]] = {}
    for row in material.rows:
        if row.kind == "example":
            claimed.setdefault(row.press, set()).update(_recognised(training, base(row.vectors)))
    found = {}
    for index, presses in enumerate(material.presses):
        if len(presses) < LEAST_PRESSES or material.labels[index].state_of is not None:
            continue
        counts = Counter(name for press in presses for name in claimed.get(press, ()))
        found[index] = {name: count for name, count in counts.items() if count >= PART_OF_PRESSES * len(presses)}
    if any(found.values()):
        # the background is asked only when that decides: there may be thousands of moments
        rows = [row.vectors for row in material.rows if row.kind == "background"]
        usual = Counter(name for vectors in rows for name in _recognised(training, base(vectors)))
        rare = {name for counts in found.values() for name in counts if usual[name] <= PART_OF_BACKGROUND * len(rows)}
        found = {index: {name: counts[name] for name in counts if name in rare} for index, counts in found.items()}
    return found


def _recognised(training: TrainingSet, logits: Array) -> set[str]:
    """Return the labels of the base that are likelier there than not: a logit of 0 is a score of LEAST_CLAIM."""
    return {name for name, logit in zip(training.base_labels, logits, strict=True) if name is not None and logit >= 0}


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), np.float32)

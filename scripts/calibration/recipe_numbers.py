"""Reads from a recipe what the calibration needs, and writes its numbers into the recipe's text. Pure functions."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from daemon.core.records import Array64

STEPS = 256  # YAMNet's scores are int8 inside
SIGHT = "scene"


@dataclass(frozen=True, slots=True)
class SoundEvidence:
    """The evidence of sound: groups of classes, and `weights` and `offsets` (L, groups) of the labels in `labels`."""

    labels: tuple[str, ...]
    classes: tuple[tuple[int, ...], ...]
    weights: Array64
    offsets: Array64
    floor: float

    def of(self, scores: NDArray[np.uint8]) -> Array64:
        """Return the sum of evidence (n, L) of patches with scores (n, 521) in steps of 1/256."""
        groups = np.stack([scores[:, list(classes)].max(axis=1) for classes in self.classes], axis=1) / STEPS
        evidence: Array64 = np.log(np.maximum(groups, self.floor)) @ self.weights.T + self.offsets.sum(axis=1)
        return evidence


def sound_evidence(recipe: dict[str, Any]) -> SoundEvidence:
    """Return the evidence of sound of all labels that have some."""
    groups: dict[str, Any] = recipe["groups"]["sounds"]
    names = {f"sound.{group}": column for column, group in enumerate(groups)}
    labels = tuple(
        label for label, about in recipe["labels"].items() if names.keys() & about.get("evidence", {}).keys()
    )
    weights, offsets = np.zeros((2, len(labels), len(groups)))
    for row, label in enumerate(labels):
        for key, evidence in recipe["labels"][label]["evidence"].items():
            if key in names:
                weights[row, names[key]], offsets[row, names[key]] = evidence["weight"], evidence["offset"]
    floor = recipe["encoders"]["sound"]["outputs"]["groups"]["floor"]
    return SoundEvidence(labels, tuple(tuple(map(_index, group)) for group in groups.values()), weights, offsets, floor)


def write_bias(text: str, label: str, bias: float) -> str:
    """Return the recipe's text with another bias of a label."""
    return _replace(text, label, r"    bias: .*", f"    bias: {bias:.2f}")


def write_sight(text: str, label: str, weight: float, offset: float) -> str:
    """Return the recipe's text with other numbers of the evidence of sight of a label."""
    numbers = f"{{weight: {weight:.2f}, offset: {offset:.2f}}}"
    return _replace(text, label, rf"    (  {SIGHT}\.\w+): {{.*?}}", rf"    \1: {numbers}")


def load(text: str) -> dict[str, Any]:
    """Return the content of a recipe."""
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _index(entry: int | dict[int, str]) -> int:
    return next(iter(entry)) if isinstance(entry, dict) else entry


def _replace(text: str, label: str, line: str, by: str) -> str:
    """Replace a line of a label's block: the block goes on to the next line that is indented by two spaces only."""
    block = re.compile(rf"^  {label}:\n(?:    .*\n)+", re.MULTILINE)
    found = list(block.finditer(text, text.index("\nlabels:")))
    if len(found) != 1:
        raise ValueError(f"the recipe has {len(found)} labels {label}, expected one")
    changed, count = re.subn(rf"^{line}", by, found[0][0], flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"the label {label} has {count} lines like {line}, expected one")
    return text[: found[0].start()] + changed + text[found[0].end() :]

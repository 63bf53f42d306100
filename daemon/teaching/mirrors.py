"""Moments that the base would be sure of, made of moments of background: what taught labels must leave to it. Pure.

A node has no examples of the labels of its base. Yet with exclusive scoring a taught label competes with them. The base
is linear. So a moment that it takes for one label has a mirror image beyond the boundary to another label. There the
base is just as sure of that label. Nothing else in the moment changes.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from daemon.core.records import Array, Modality
from daemon.teaching.rows import BaseLogits, Row

# So many moments of each sense are mirrored, for each label of the base.
MOST_MIRRORED = 24


def mirrored_rows(
    rows: Sequence[Row], base: BaseLogits, sizes: Mapping[str, int], modality_of: Mapping[str, Modality]
) -> list[Row]:
    """Return mirror images of rows of background, one sense at a time, as rows that the base knows."""
    mirrored: list[Row] = []
    background = [row for row in rows if row.kind == "background"]
    for modality in dict.fromkeys(modality_of.values()):
        own = {name: size for name, size in sizes.items() if modality_of[name] == modality}
        having = [row for row in background if own.keys() & row.vectors.keys()]
        step = max(1, len(having) // MOST_MIRRORED)
        slopes = {name: _slopes(base, name, size) for name, size in own.items()}
        for row in having[::step][:MOST_MIRRORED]:
            mirrored += [Row(vectors, "known") for vectors in _mirror_images(row, base, slopes)]
    return mirrored


def _mirror_images(row: Row, base: BaseLogits, slopes: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Yield the vectors of a row mirrored to each label but its own. `slopes` (L, size) are those of one sense."""
    own = {name: slopes[name] for name in row.vectors if name in slopes}
    logits = base({name: row.vectors[name] for name in own})
    top = int(logits.argmax())
    for label in range(len(logits)):
        directions = {name: slope[label] - slope[top] for name, slope in own.items()}
        length = sum(float(np.square(direction).sum()) for direction in directions.values())
        if label == top or length == 0:
            continue
        factor = np.float32(2 * (logits[top] - logits[label]) / length)
        yield {
            **row.vectors,
            **{name: row.vectors[name] + factor * direction for name, direction in directions.items()},
        }


def _slopes(base: BaseLogits, encoder: str, size: int) -> Array:
    """Return the weights (L, size) of the base for an encoder, from its logits at unit vectors."""
    origin = base({encoder: np.zeros(size, np.float32)})
    return np.stack([base({encoder: unit}) - origin for unit in np.eye(size, dtype=np.float32)], axis=1)

"""A basis of fewer dimensions than F, for each encoder, in which a fit is fast. Pure.

A linear function that is fitted with L2 lies in the span of its rows. So the basis spans rows: presses first.
Weights in the basis are turned back into weights of F without loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from daemon.core.records import MODALITIES, Array, Modality
from daemon.teaching.rows import Indices, Row

# The basis of an encoder spans at most so many rows.
MAX_SPANNING = 600
# Directions with less than this part of the variance of the first one are noise of the arithmetic.
SMALLEST_VARIANCE = 1e-6
MAX_DIRECTIONS = 300

CHUNK = 256


@dataclass(frozen=True)
class EncoderBasis:
    """The basis of one encoder: reduced = (vector - mean) @ directions. `directions` has shape (size, k)."""

    name: str
    mean: Array
    directions: Array


@dataclass(frozen=True)
class Basis:
    """The bases of all encoders in the order of F, grouped by modality in the order of `modalities`."""

    encoders: Sequence[EncoderBasis]
    modalities: Sequence[Modality]
    modality_of: Mapping[str, Modality]

    def reduce(self, rows: Sequence[Row]) -> list[Array]:
        """Return for each modality the reduced rows (N, d): of each encoder its directions and its present entry."""
        return [np.hstack([*self._reduced(rows, modality)]) for modality in self.modalities]

    def _reduced(self, rows: Sequence[Row], modality: Modality) -> Iterator[Array]:
        for encoder in self._of(modality):
            block = np.zeros((len(rows), encoder.directions.shape[1] + 1), np.float32)
            present = [index for index, row in enumerate(rows) if encoder.name in row.vectors]
            for start in range(0, len(present), CHUNK):
                chunk = present[start : start + CHUNK]
                vectors = np.stack([rows[index].vectors[encoder.name] for index in chunk])
                block[chunk, :-1] = (vectors - encoder.mean) @ encoder.directions
            block[present, -1] = 1
            yield block

    def to_features(self, weights: Sequence[Array]) -> Array:
        """Return weights of F (T, D + M) for weights (d, T) of each modality."""
        parts: dict[str, tuple[Array, Array]] = {}
        for modality, block in zip(self.modalities, weights, strict=True):
            start = 0
            for encoder in self._of(modality):
                end = start + encoder.directions.shape[1]
                of_vector = encoder.directions @ block[start:end]
                parts[encoder.name] = of_vector, block[end] - encoder.mean @ of_vector
                start = end + 1
        ordered = [parts[encoder.name] for encoder in self.encoders]
        joined = np.vstack([*(part for part, _ in ordered), *(present for _, present in ordered)])
        return np.asarray(joined.T, np.float32)

    def _of(self, modality: Modality) -> list[EncoderBasis]:
        return [encoder for encoder in self.encoders if self.modality_of[encoder.name] == modality]


def basis_of(rows: Sequence[Row], sizes: Mapping[str, int], modality_of: Mapping[str, Modality]) -> Basis:
    """Return the basis that spans these rows, or as many of them as fit."""
    used = [modality for modality in MODALITIES if modality in modality_of.values()]
    return Basis([_encoder_basis(rows, name, size) for name, size in sizes.items()], used, modality_of)


def _encoder_basis(rows: Sequence[Row], name: str, size: int) -> EncoderBasis:
    present = [index for index, row in enumerate(rows) if name in row.vectors]
    if not present:
        return EncoderBasis(name, np.zeros(size, np.float32), np.zeros((size, 0), np.float32))
    vectors = np.stack([rows[index].vectors[name] for index in _spanning(rows, present)]).astype(np.float32)
    mean = vectors.mean(axis=0)
    vectors -= mean
    variance = float(np.square(vectors).sum(axis=1).mean())
    if variance == 0:
        return EncoderBasis(name, mean, np.zeros((size, 0), np.float32))
    values, parts = np.linalg.eigh((vectors @ vectors.T).astype(np.float64))
    kept = np.flatnonzero(values > SMALLEST_VARIANCE * values[-1])[-MAX_DIRECTIONS:]
    directions = vectors.T @ (parts[:, kept] / np.sqrt(values[kept])).astype(np.float32)
    # each encoder's rows have the same mean square, so that none outweighs another by its scale
    return EncoderBasis(name, mean, directions / np.float32(np.sqrt(variance)))


def _spanning(rows: Sequence[Row], present: Sequence[int]) -> Indices:
    """Return at most MAX_SPANNING of the rows: two thirds of them from examples where there are so many."""
    examples = [index for index in present if rows[index].kind == "example"]
    others = [index for index in present if rows[index].kind != "example"]
    room = max(MAX_SPANNING - len(others), MAX_SPANNING * 2 // 3)
    chosen = _spread(examples, room)
    return np.concatenate([chosen, _spread(others, MAX_SPANNING - len(chosen))])


def _spread(indices: Sequence[int], count: int) -> Indices:
    """Return at most `count` of the indices, at even distances."""
    if len(indices) <= count:
        return np.array(indices, np.int64)
    places = np.linspace(0, len(indices) - 1, count).round().astype(np.int64)
    return np.asarray([indices[place] for place in places], np.int64)

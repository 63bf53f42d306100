"""The fusion head as a TFLite graph."""

from collections.abc import Sequence

import numpy as np

from daemon.inference.graph import Graph
from daemon.records import Array


def write_head(weights: Array, bias: Array, sizes: Sequence[int]) -> bytes:
    """The model that maps F (1, D + M) to scores (1, L) and shares (1, M, L), all float32.

    `weights` has shape (L, D + M) with D the sum of `sizes`, the embedding lengths of the M modalities; its last M
    columns belong to the `present` entries. `bias` has shape (L,).

    Three operators do it: F times a block matrix gives every modality's share, a sum over the modalities plus the bias
    gives the logits, softmax gives the scores.
    """
    labels, modalities = len(bias), len(sizes)
    if weights.shape != (labels, sum(sizes) + modalities):
        raise ValueError(f"weights have shape {weights.shape}, expected {(labels, sum(sizes) + modalities)}")
    graph = Graph()
    features = graph.tensor("features", [1, weights.shape[1]])
    blocks = graph.constant("share_weights", _share_matrix(weights, sizes))
    summing = graph.constant("sum_weights", np.tile(np.eye(labels, dtype=np.float32), (1, modalities)))
    offset = graph.constant("bias", bias.astype(np.float32))
    flat = graph.tensor("flat_shares", [1, modalities * labels])
    shares = graph.tensor("shares", [1, modalities, labels])
    logits = graph.tensor("logits", [1, labels])
    scores = graph.tensor("scores", [1, labels])
    graph.fully_connected([features, blocks, -1], flat)
    graph.reshape(flat, shares, [1, modalities, labels])
    graph.fully_connected([flat, summing, offset], logits)
    graph.softmax(logits, scores)
    return graph.serialize(inputs=[features], outputs=[scores, shares])


def _share_matrix(weights: Array, sizes: Sequence[int]) -> Array:
    """Shape (M * L, D + M): row block m holds the columns of modality m and its present entry, zeros elsewhere."""
    labels = weights.shape[0]
    matrix = np.zeros((len(sizes) * labels, weights.shape[1]), np.float32)
    start = 0
    for index, size in enumerate(sizes):
        rows = slice(index * labels, (index + 1) * labels)
        matrix[rows, start : start + size] = weights[:, start : start + size]
        present = sum(sizes) + index
        matrix[rows, present] = weights[:, present]
        start += size
    return matrix

"""Between real numbers and a model's tensors: quantize going in, dequantize and transform coming out."""

import numpy as np

from daemon.manifest import TensorSpec
from daemon.records import Array, Tensor

LOG_FLOOR = 1e-6
"""docs/bundle.md: what `transform: log` takes for zero."""


def quantize(values: Array, spec: TensorSpec) -> Tensor:
    """Real numbers of any shape as the input's dtype: round(x / scale) + zero_point, clipped to its range."""
    if spec.scale is None or spec.zero_point is None:
        return values.astype(spec.dtype)
    limits = np.iinfo(spec.dtype)
    steps = np.round(values / np.float32(spec.scale)) + spec.zero_point
    tensor: Tensor = np.clip(steps, limits.min, limits.max).astype(spec.dtype)
    return tensor


def embedding_vector(output: Tensor, spec: TensorSpec, transform: str) -> Array:
    """A model's output as an embedding: float32 of shape (D,), dequantized and transformed."""
    vector: Array = output.reshape(-1).astype(np.float32)
    if spec.scale is not None and spec.zero_point is not None:
        vector = (vector - np.float32(spec.zero_point)) * np.float32(spec.scale)
    if transform == "log":
        logs: Array = np.log(np.maximum(vector, np.float32(LOG_FLOOR)))
        return logs
    if transform == "l2":
        norm = np.float32(np.linalg.norm(vector))
        return vector / norm if norm > 0 else vector
    return vector

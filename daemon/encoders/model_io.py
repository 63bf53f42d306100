"""Between real numbers and a model's tensors: quantize going in, dequantize and transform coming out."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from daemon.bundle.manifest import TensorSpec
from daemon.core.ports import Model
from daemon.core.records import CPU, Array, Embedding, Modality, Tensor

LOG_FLOOR = 1e-6
"""docs/bundle.md: what `transform: log` takes for zero."""


def quantize(values: Array, spec: TensorSpec) -> Tensor:
    """Real numbers of any shape as the input's dtype: round(x / scale) + zero_point, clipped to its range."""
    tensor: Tensor = np.empty(values.shape, spec.dtype)
    write_quantized(values, spec, tensor, np.empty(values.shape, np.float32))
    return tensor


def write_quantized(values: Array, spec: TensorSpec, target: Tensor, scratch: Array) -> None:
    """The same, written to `target` of the values' shape; `scratch` is memory of that shape to work in."""
    if spec.scale is None or spec.zero_point is None:
        target[...] = values
        return
    limits = np.iinfo(spec.dtype)
    np.divide(values, np.float32(spec.scale), out=scratch)
    np.rint(scratch, out=scratch)
    np.add(scratch, np.float32(spec.zero_point), out=scratch)
    np.clip(scratch, limits.min, limits.max, out=scratch)
    target[...] = scratch


class OutputReader:
    """Makes a model's output an embedding: float32 of shape (D,), dequantized and transformed."""

    def __init__(self, spec: TensorSpec, transform: str) -> None:
        self._spec = spec
        self._is_log = transform == "log"
        self._is_l2 = transform == "l2"
        # a byte has one of 256 values: what becomes of each is computed once
        bytes_ = np.arange(256, dtype=np.uint8)
        self._table = self._real(bytes_.view(spec.dtype)) if spec.dtype in ("int8", "uint8") else None

    def __call__(self, output: Tensor) -> Array:
        """The embedding that the output stands for."""
        flat = output.reshape(-1)
        vector = self._real(flat) if self._table is None else self._table[flat.view(np.uint8)]
        if not self._is_l2:
            return vector
        norm = np.float32(np.linalg.norm(vector))
        return vector / norm if norm > 0 else vector

    def _real(self, output: Tensor) -> Array:
        vector: Array = output.astype(np.float32, copy=False)
        if self._spec.scale is not None and self._spec.zero_point is not None:
            vector = (vector - np.float32(self._spec.zero_point)) * np.float32(self._spec.scale)
        if self._is_log:
            logs: Array = np.log(np.maximum(vector, np.float32(LOG_FLOOR)))
            return logs
        return vector


class Embedder:
    """Invokes one model for one modality. Used by one thread at a time."""

    def __init__(self, modality: Modality, model: Model, output: TensorSpec, transform: str) -> None:
        self._modality = modality
        self._model = model
        self._read = OutputReader(output, transform)
        self._latest: Embedding | None = None

    def embed(self, is_as_before: bool, write: Callable[[], None], start_ns: int, end_ns: int) -> Embedding:
        """The embedding of what `write` puts into the model's input; the one made last where that is as before.

        One that an accelerator made is not used again: it may have computed wrongly, and be found out since.
        Raises ModelError when the model fails; then nothing is as before.
        """
        if is_as_before and self._latest is not None and self._latest.device == CPU:
            return replace(self._latest, start_ns=start_ns, end_ns=end_ns)
        self._latest = None
        write()
        vector = self._read(self._model.invoke()[0])
        self._latest = Embedding(self._modality, vector, start_ns, end_ns, self._model.device)
        return self._latest

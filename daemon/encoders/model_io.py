"""Conversion between real numbers and the tensors of a model."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from daemon.bundle.encoder_specs import TensorSpec
from daemon.core.ports import Model
from daemon.core.records import CPU, Array, Embedding, Tensor

# docs/bundle.md: `transform: log` takes the logarithm of at least this.
LOG_FLOOR = 1e-6


def quantize(values: Array, spec: TensorSpec) -> Tensor:
    """Return real numbers of any shape in the dtype of the input: round(x / scale) + zero_point, clipped."""
    tensor: Tensor = np.empty(values.shape, spec.dtype)
    write_quantized(values, spec, tensor, np.empty(values.shape, np.float32))
    return tensor


def write_quantized(values: Array, spec: TensorSpec, target: Tensor, scratch: Array) -> None:
    """Write the quantized values to `target`. `target` and `scratch` (work memory) have the shape of `values`."""
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
    """Converts the output of a model to an embedding: float32 of shape (D,), dequantized and transformed."""

    def __init__(self, spec: TensorSpec, transform: str) -> None:
        self._spec = spec
        self._is_log = transform == "log"
        self._is_l2 = transform == "l2"
        # a byte has only 256 values, so a table replaces the computation
        bytes_ = np.arange(256, dtype=np.uint8)
        self._table = self._dequantize(bytes_.view(spec.dtype)) if spec.dtype in ("int8", "uint8") else None

    def __call__(self, output: Tensor) -> Array:
        """Return the embedding of one output."""
        flat = output.reshape(-1)
        vector = self._dequantize(flat) if self._table is None else self._table[flat.view(np.uint8)]
        if not self._is_l2:
            return vector
        norm = np.float32(np.linalg.norm(vector))
        return vector / norm if norm > 0 else vector

    def _dequantize(self, output: Tensor) -> Array:
        """Return the real numbers of an output, or their logarithms with `transform: log`."""
        vector: Array = output.astype(np.float32, copy=False)
        if self._spec.scale is not None and self._spec.zero_point is not None:
            vector = (vector - np.float32(self._spec.zero_point)) * np.float32(self._spec.scale)
        if self._is_log:
            logs: Array = np.log(np.maximum(vector, np.float32(LOG_FLOOR)))
            return logs
        return vector


class Embedder:
    """Invokes the model of one encoder. Used by one thread at a time."""

    def __init__(self, name: str, model: Model, output: TensorSpec, transform: str) -> None:
        self._name = name
        self._model = model
        self._read = OutputReader(output, transform)
        self._latest: Embedding | None = None

    def embed(self, is_unchanged: bool, write: Callable[[], None], start_ns: int, end_ns: int) -> Embedding:
        """Return the embedding of the input that `write` puts into the model.

        An unchanged input reuses the latest embedding with the new times, if the CPU computed that embedding.
        Raises ModelError when the model fails. The next call then computes in any case.
        """
        # an accelerator's embedding is not reused: a wrong one may have been detected by now
        if is_unchanged and self._latest is not None and self._latest.device == CPU:
            return replace(self._latest, start_ns=start_ns, end_ns=end_ns)
        self._latest = None
        write()
        vector = self._read(self._model.invoke()[0])
        self._latest = Embedding(self._name, vector, start_ns, end_ns, self._model.device)
        return self._latest

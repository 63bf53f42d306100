"""Conversion between real numbers and the tensors of a model."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from daemon.bundle.encoder_specs import OutputSpec, TensorSpec
from daemon.core.histogram import Histograms
from daemon.core.ports import Model
from daemon.core.records import CPU, Array, Embedding, Tensor
from daemon.core.timing import monotonic_ns

# of this process since its start, by the encoder's name: how long its model takes, on whichever device
invoke_durations = Histograms()


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
    """Converts one output of a model to its part of the embedding: float32 of shape (D,).

    The output is dequantized, transformed and multiplied by the factor. An empty output stands for one that the
    device lacks. Its part is zeros.
    """

    def __init__(self, spec: OutputSpec) -> None:
        self._spec = spec
        # a byte has only 256 values, so a table replaces the computation
        bytes_ = np.arange(256, dtype=np.uint8)
        self._table = self._convert(bytes_.view(spec.dtype)) if spec.dtype in ("int8", "uint8") else None

    def __call__(self, output: Tensor) -> Array:
        """Return the part of the embedding."""
        flat = output.reshape(-1)
        if not flat.size:
            return np.zeros(self._spec.size, np.float32)
        vector = self._convert(flat) if self._table is None else self._table[flat.view(np.uint8)]
        if self._spec.transform != "l2":
            return vector
        norm = np.float32(np.linalg.norm(vector))
        return self._scaled(vector / norm) if norm > 0 else vector

    def _convert(self, output: Tensor) -> Array:
        """Return the numbers of the embedding; with `l2`, those that are still to be divided by their norm."""
        vector: Array = output.astype(np.float32, copy=False)
        if self._spec.scale is not None and self._spec.zero_point is not None:
            vector = (vector - np.float32(self._spec.zero_point)) * np.float32(self._spec.scale)
        if self._spec.transform == "log":
            vector = np.log(np.maximum(vector, np.float32(self._spec.floor)))
        return vector if self._spec.transform == "l2" else self._scaled(vector)

    def _scaled(self, vector: Array) -> Array:
        return vector if self._spec.factor == 1 else vector * np.float32(self._spec.factor)


class Embedder:
    """Invokes the model of one encoder. Used by one thread at a time."""

    def __init__(self, name: str, model: Model, outputs: Mapping[str, OutputSpec]) -> None:
        self._name = name
        self._model = model
        self._readers = [OutputReader(spec) for spec in outputs.values()]
        self._durations = invoke_durations.of(name)
        self._latest: Embedding | None = None

    def embed(self, is_unchanged: bool, write: Callable[[], None], start_ns: int, end_ns: int) -> Embedding:
        """Return the embedding of the input that `write` puts into the model: all outputs, one after another.

        An unchanged input reuses the latest embedding with the new times, if the CPU computed that embedding.
        Raises ModelError when the model fails. The next call then computes in any case.
        """
        # an accelerator's embedding is not reused: a wrong one may have been detected by now
        if is_unchanged and self._latest is not None and self._latest.device == CPU:
            return replace(self._latest, start_ns=start_ns, end_ns=end_ns)
        self._latest = None
        write()
        began_ns = monotonic_ns()
        outputs = self._model.invoke()
        self._durations.add(monotonic_ns() - began_ns)
        parts = [read(output) for read, output in zip(self._readers, outputs, strict=True)]
        vector = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self._latest = Embedding(self._name, vector, start_ns, end_ns, self._model.device)
        return self._latest

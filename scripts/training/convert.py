"""Converts a trained Keras encoder into a TFLite model, and reads the tensor specs of a model."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from daemon.bundle.encoder_specs import TensorSpec


def to_int8(encoder: keras.Model, samples: NDArray[Any], path: Path) -> None:
    """Write `encoder` with int8 weights, activations and output; `samples` (n, ...) set the ranges.

    A float input becomes int8. Token ids stay int32.
    """
    source = encoder.inputs[0]

    def representative() -> Iterable[list[NDArray[Any]]]:
        for sample in samples:
            yield [sample[np.newaxis]]

    converter = _converter(encoder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if source.dtype != "int32":
        converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    path.write_bytes(converter.convert())


def to_float(encoder: keras.Model, path: Path) -> None:
    """Write `encoder` with float32 weights, activations and output, to compare int8 with."""
    path.write_bytes(_converter(encoder).convert())


def _converter(encoder: keras.Model) -> tf.lite.TFLiteConverter:
    """A converter for batches of one, with the weights as constants."""
    source = encoder.inputs[0]

    @tf.function(input_signature=[tf.TensorSpec((1, *source.shape[1:]), source.dtype)])
    def run(x: tf.Tensor) -> tf.Tensor:
        return encoder(x, training=False)

    frozen = convert_variables_to_constants_v2(run.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], None)


def tensor_specs(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a model as its manifest must state them."""
    interpreter = Interpreter(model_path=str(path))
    return _spec(interpreter.get_input_details()[0]), _spec(interpreter.get_output_details()[0])


def _spec(detail: dict[str, Any]) -> TensorSpec:
    shape, dtype = [int(n) for n in detail["shape"]], np.dtype(detail["dtype"]).name
    if dtype in ("int32", "float32"):
        return TensorSpec(shape=shape, dtype=dtype)
    scale, zero_point = detail["quantization"]
    return TensorSpec(shape=shape, dtype=dtype, scale=float(f"{scale:.9g}"), zero_point=int(zero_point))

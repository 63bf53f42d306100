"""The audio network: convolutions over a log-mel patch, then one layer over all bands."""

import keras
import tensorflow as tf
from keras import layers

from training.networks import with_evidence
from training.specs import AUDIO

# Log-mel values lie mostly between -7 and 3.
LOG_MEL_MEAN, LOG_MEL_SPREAD = -2.5, 2.5


def audio_network() -> tuple[keras.Model, keras.Model]:
    """(encoder, classifier) of log-mel patches (n, frames, mel_bands, 1)."""
    # The band of a feature matters, its time does not. So bands stay separate until the last convolution, which sees
    # all of them, and only time is pooled.
    patch = keras.Input((AUDIO.frames, AUDIO.mel_bands, 1))
    x = layers.Rescaling(1 / LOG_MEL_SPREAD, -LOG_MEL_MEAN / LOG_MEL_SPREAD)(patch)
    x = _without_level_and_colour(x)
    x = _convolution(x, 24, 5, 2)
    x = _convolution(x, 48, 3, 2)
    x = _residual(x, 48)
    x = _convolution(x, 52, 3, 2)
    x = _residual(x, 52)
    x = _over_all_bands(x, 64)
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return with_evidence(patch, layers.Dropout(0.2)(pooled))


def _without_level_and_colour(x: tf.Tensor) -> tf.Tensor:
    """Two channels: one is independent of the loudness, the other also of the microphone."""
    level = keras.ops.mean(x, axis=(1, 2), keepdims=True)
    colour = keras.ops.mean(x, axis=1, keepdims=True)
    return layers.Concatenate()([x - level, x - colour])


def _residual(x: tf.Tensor, filters: int) -> tf.Tensor:
    inner = _normalised(_bare(_convolution(x, filters, 3, 1), filters, 3, 1))
    return layers.ReLU()(layers.Add()([x, inner]))


def _convolution(x: tf.Tensor, filters: int, size: int, strides: int) -> tf.Tensor:
    return layers.ReLU()(_normalised(_bare(x, filters, size, strides)))


def _over_all_bands(x: tf.Tensor, filters: int) -> tf.Tensor:
    bands = x.shape[2]
    x = layers.Conv2D(filters, (1, bands), use_bias=False, kernel_initializer="he_normal")(x)
    return layers.ReLU()(_normalised(x))


def _bare(x: tf.Tensor, filters: int, size: int, strides: int) -> tf.Tensor:
    return layers.Conv2D(filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)


def _normalised(x: tf.Tensor) -> tf.Tensor:
    return layers.BatchNormalization(momentum=0.97)(x)

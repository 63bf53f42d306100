"""The text encoder's network, with the classification layer it is trained under."""

import keras
import tensorflow as tf
from keras import layers

from training.networks import with_evidence
from training.specs import TEXT_LENGTH

WIDTH = 64


def text_network() -> tuple[keras.Model, keras.Model]:
    """An embedding of bytes, convolutions along the line, the strongest answer anywhere: (encoder, classifier).

    The convolutions see 19 bytes around each place: a digit's word, and what may make it part of something longer.
    They are 2-D ones of height 1, which is what the converter would make of 1-D ones, with more reshaping.
    """
    ids = keras.Input((TEXT_LENGTH,), dtype="int32")
    x = layers.Reshape((1, TEXT_LENGTH, 16))(layers.Embedding(257, 16)(ids))
    x = _convolution(x, 3)
    for dilation in (1, 2, 1, 3):
        x = layers.Activation("relu")(layers.Add()([x, _convolution(x, 3, dilation, activation=None)]))
    x = _convolution(x, 3)
    return with_evidence(ids, layers.Dropout(0.1)(layers.GlobalMaxPooling2D()(x)))


def _convolution(x: tf.Tensor, size: int, dilation: int = 1, activation: str | None = "relu") -> tf.Tensor:
    return layers.Conv2D(
        WIDTH,
        (1, size),
        dilation_rate=(1, dilation),
        padding="same",
        activation=activation,
        kernel_initializer="he_normal",
    )(x)

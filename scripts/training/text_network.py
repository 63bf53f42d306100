"""The network of the text encoder, with the classification layer used in training."""

import keras
import tensorflow as tf
from keras import layers

from training.networks import with_evidence
from training.specs import TEXT_LENGTH

WIDTH = 64


def text_network() -> tuple[keras.Model, keras.Model]:
    """(encoder, classifier): embeds bytes, convolves along the line, and takes the maximum over the positions.

    Each position sees 19 bytes: the word of a digit, and the letters that may make it part of a longer word. The
    convolutions are 2-D with height 1. The converter would turn 1-D convolutions into these, with more reshaping.
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

"""What every encoder ends in, and the encoder of pictures with the layer it is trained under."""

import keras
import tensorflow as tf
from keras import layers

from training.specs import EVIDENCE_SPAN, LABELS


def image_network() -> tuple[keras.Model, keras.Model]:
    """Convolutions all over the frame and the strongest answer of two scales: (encoder, classifier)."""
    frame = keras.Input((120, 160, 1), batch_size=None)
    x = layers.Rescaling(2.0, -1.0)(frame)
    x = _convolution(x, 8, 5, 2)  # 60 x 80
    x = _convolution(x, 16, 3, 2)  # 30 x 40
    x = _convolution(x, 32, 3, 2)  # 15 x 20
    small = _convolution(x, 48, 3, 1)
    x = _convolution(small, 64, 3, 2)  # 8 x 10
    large = _convolution(x, 64, 3, 1)
    pooled = layers.Concatenate()([layers.GlobalMaxPooling2D()(small), layers.GlobalMaxPooling2D()(large)])
    return with_evidence(frame, pooled)


def _convolution(x: tf.Tensor, filters: int, size: int, strides: int) -> tf.Tensor:
    # without batch normalisation, which costs more than the convolutions where these networks are trained
    return layers.Conv2D(filters, size, strides, padding="same", activation="relu", kernel_initializer="he_normal")(x)


def with_evidence(source: tf.Tensor, pooled: tf.Tensor) -> tuple[keras.Model, keras.Model]:
    """(encoder, classifier) from pooled features: what the encoder says is its evidence."""
    logits = layers.Dense(len(LABELS))(pooled)
    return keras.Model(source, Evidence()(logits)), keras.Model(source, logits)


class Evidence(layers.Layer):
    """The log-probability of each label, EVIDENCE_SPAN above the lowest that counts: in 0 to EVIDENCE_SPAN.

    Log-probabilities of independent senses add up, which is what a linear head does; and the floor keeps one sense
    that is very sure, and wrong, from outvoting the others.
    """

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        """`logits` (n, L) to evidence (n, L)."""
        return tf.nn.relu(tf.nn.log_softmax(logits) + EVIDENCE_SPAN)

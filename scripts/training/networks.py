"""What every encoder ends in, and the encoder of pictures with the layer it is trained under."""

import keras
import tensorflow as tf
from keras import layers

from training.specs import EVIDENCE_SPAN, LABELS


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

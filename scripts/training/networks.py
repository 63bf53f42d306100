"""The last layers that all encoders share."""

import keras
import tensorflow as tf
from keras import layers

from training.specs import EVIDENCE_SPAN, LABELS


def with_evidence(source: tf.Tensor, pooled: tf.Tensor) -> tuple[keras.Model, keras.Model]:
    """(encoder, classifier) on pooled features; the encoder returns evidence, the classifier logits."""
    logits = layers.Dense(len(LABELS))(pooled)
    return keras.Model(source, Evidence()(logits)), keras.Model(source, logits)


class Evidence(layers.Layer):
    """The log-probability of each label plus EVIDENCE_SPAN, at least 0.

    Log-probabilities of independent senses add up, and a linear head adds. The floor limits how much one confident but
    wrong sense can outvote the others.
    """

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        """`logits` (n, L) to evidence (n, L)."""
        return tf.nn.relu(tf.nn.log_softmax(logits) + EVIDENCE_SPAN)

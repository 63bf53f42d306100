"""The image encoder: one small network, applied everywhere in the frame and at three sizes with the same weights."""

import keras
import tensorflow as tf
from keras import layers

from training.networks import Evidence
from training.scenes import CLOSE, FRAME, PART, View
from training.specs import NONE

# The logit of NONE. A cell's answer for a digit must exceed it for the digit to be likelier. Answers are at least 0.
NONE_LOGIT = 8.0


class ImageNetwork:
    """The layers, and models that share them.

    `encoder` takes a frame and returns evidence (n, L). `models` holds one model to train for each view. It returns the
    logits of the picture (n, L) and the answers of its cells (n, cells, digits).
    """

    def __init__(self) -> None:
        self._look = [
            _convolution(16, 2),
            _convolution(32, 2),
            _convolution(64, 2),
            _Residual(64),
            _Residual(64),
            layers.Conv2D(NONE, 1, bias_initializer=keras.initializers.Constant(NONE_LOGIT - 3.0), activation="relu"),
        ]
        self.models = {view: self._model(view) for view in (CLOSE, PART, FRAME)}
        frame_model = self.models[FRAME]
        self.encoder = keras.Model(frame_model.input, Evidence()(frame_model.output["frame"]))

    def _model(self, view: View) -> keras.Model:
        frame = keras.Input((view.height, view.width, 1), batch_size=None)
        x = layers.Rescaling(2.0, -1.0)(frame)
        answers = []
        for level in range(view.levels):
            y = layers.AveragePooling2D(2**level)(x) if level else x
            for layer in self._look:
                y = layer(y)
            answers.append(layers.Reshape((-1, NONE))(y))
        cells = layers.Concatenate(axis=1)(answers) if view.levels > 1 else answers[0]
        logits = _WithNone()(layers.GlobalMaxPooling1D()(cells))
        return keras.Model(frame, {"frame": logits, "cells": cells})


class _WithNone(layers.Layer):
    """Appends the logit of NONE: (n, digits) becomes (n, digits + 1)."""

    def call(self, answers: tf.Tensor) -> tf.Tensor:
        return tf.pad(answers, ((0, 0), (0, 1)), constant_values=NONE_LOGIT)


class _Residual:
    """Two convolutions whose input is added to their output."""

    def __init__(self, filters: int) -> None:
        self._first = _convolution(filters, 1)
        start = keras.initializers.VarianceScaling(0.2)
        self._second = layers.Conv2D(filters, 3, padding="same", kernel_initializer=start)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return layers.ReLU()(layers.Add()([x, self._second(self._first(x))]))


def _convolution(filters: int, strides: int) -> layers.Layer:
    # No batch normalisation: in training it costs more than the convolutions.
    return layers.Conv2D(filters, 3, strides, padding="same", activation="relu", kernel_initializer="he_normal")

"""The three encoders, each with the classification layer it is trained under."""

import keras
import tensorflow as tf
from keras import layers

from training.specs import AUDIO, EMBEDDING, LABELS, TEXT_LENGTH


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
    return _with_classifier(frame, pooled)


def audio_network() -> tuple[keras.Model, keras.Model]:
    """Convolutions over a log-mel patch, their mean and their strongest answer: (encoder, classifier)."""
    patch = keras.Input((AUDIO.frames, AUDIO.mel_bands, 1))
    x = layers.Rescaling(0.4, 0.8)(patch)  # log-mel values are mostly between -7 and 3
    x = _convolution(x, 16, 3, 2)  # 49 x 20
    x = _convolution(x, 32, 3, 2)  # 25 x 10
    x = _convolution(x, 48, 3, 1)
    x = _convolution(x, 64, 3, 2)  # 13 x 5
    x = _convolution(x, 64, 3, 1)
    pooled = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return _with_classifier(patch, layers.Dropout(0.3)(pooled))


def text_network(unroll: bool) -> tuple[keras.Model, keras.Model]:
    """An embedding of bytes and an LSTM, the strongest answer along the line: (encoder, classifier).

    Only the unrolled LSTM converts to int8; the looped one trains faster, and their weights are the same.
    """
    ids = keras.Input((TEXT_LENGTH,), dtype="int32")
    x = layers.Embedding(257, 24)(ids)
    x = layers.LSTM(EMBEDDING, return_sequences=True, unroll=unroll)(x)
    embedding = layers.GlobalMaxPooling1D()(x)
    scores = layers.Dense(len(LABELS))(layers.Dropout(0.1)(embedding))
    return keras.Model(ids, embedding), keras.Model(ids, scores)


def _convolution(x: tf.Tensor, filters: int, size: int, strides: int) -> tf.Tensor:
    # without batch normalisation, which costs more than the convolutions where these networks are trained
    return layers.Conv2D(filters, size, strides, padding="same", activation="relu", kernel_initializer="he_normal")(x)


def _with_classifier(source: tf.Tensor, pooled: tf.Tensor) -> tuple[keras.Model, keras.Model]:
    embedding = layers.Dense(EMBEDDING, activation="relu")(pooled)
    scores = layers.Dense(len(LABELS))(embedding)
    return keras.Model(source, embedding), keras.Model(source, scores)

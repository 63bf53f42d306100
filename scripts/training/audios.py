"""Trains the audio encoder, and writes its models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training import convert, speech
from training.audio_network import audio_network
from training.mixing import overheard
from training.patches import Listener
from training.specs import NONE, SEED
from training.splits import SPEAKERS, Part
from training.voices import synthesised

# Stored items. Every training step mixes and changes them at random.
VOICES, NOISES = 60_000, 16_000
# Patches that the network is trained on.
PATCHES = 256_000
BATCH = 64
RATE = 2e-3
# Patches that set the int8 ranges.
CALIBRATION = 1_000


def load_listener(data: Path, speakers: Sequence[str] = SPEAKERS) -> Listener:
    """A Listener on the training part: recordings of these speakers, sounds, and synthesised speech."""
    return _listener(data, "train", speakers, SEED)


def head_items(data: Path, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`count` patches (n, frames, mel_bands) and labels (n,) of items that the encoder was not trained on."""
    return _listener(data, "dev", SPEAKERS, SEED + 1).patches(count, rng)


def _listener(data: Path, part: Part, speakers: Sequence[str], seed: int) -> Listener:
    spoken = synthesised(seed)
    return Listener(
        speech.recorded_digits(data, part, speakers),
        [item for item in spoken if item.label != NONE],
        [item for item in spoken if item.label == NONE],
        speech.sounds(data, part),
    )


def train(listener: Listener, path: Path, float_path: Path, patches: int = PATCHES) -> None:
    """Train the encoder; write its int8 model, and the same weights as a float32 model."""
    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    voices, labels = listener.voices(VOICES, rng)
    noises, _ = listener.noises(NOISES, rng)
    weights = _fit(voices, labels, noises, patches // BATCH, rng)
    encoder, classifier = audio_network()
    classifier.set_weights(weights)
    convert.to_float(encoder, float_path)
    calibration, _ = listener.patches(CALIBRATION, rng)
    convert.to_int8(encoder, calibration[..., np.newaxis], path)


def _fit(
    voices: NDArray[np.float16],
    labels: NDArray[np.int64],
    noises: NDArray[np.float16],
    steps: int,
    rng: np.random.Generator,
) -> list[NDArray[Any]]:
    """The weights of the trained classifier."""
    _, classifier = audio_network()
    schedule = keras.optimizers.schedules.CosineDecay(
        RATE / 20, steps - steps // 20, 0.002, "falling", RATE, steps // 20
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=2e-3, clipnorm=2.0)
    optimizer.build(classifier.trainable_variables)

    @tf.function
    def step(voice: tf.Tensor, noise: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        patches = overheard(tf.cast(voice, tf.float32), tf.cast(noise, tf.float32))
        with tf.GradientTape() as tape:
            logits = classifier(patches, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits))
        gradients = tape.gradient(loss, classifier.trainable_variables)
        optimizer.apply_gradients(zip(gradients, classifier.trainable_variables, strict=True))
        return loss

    losses = []
    for index in range(steps):
        rows = rng.integers(0, len(voices), BATCH)
        under = rng.integers(0, len(noises), BATCH)
        losses.append(step(voices[rows], noises[under], labels[rows]))
        if len(losses) == 400 or index == steps - 1:
            print(f"audio: step {index + 1} of {steps}, loss {np.mean(losses):.3f}", flush=True)
            losses.clear()
    weights: list[NDArray[Any]] = classifier.get_weights()
    return weights

"""The text encoder: data, training, conversion."""

from pathlib import Path

import keras
import numpy as np

from training import convert
from training.fitting import fit_classifier
from training.lines import make_lines, to_ids
from training.specs import SEED
from training.text_network import text_network

LINES = 640_000
"""Each is seen once: new lines cost less than another look at old ones."""


def train(int8: Path, float32: Path) -> None:
    """Train the encoder and write text.tflite into both directories: int8, and with the same weights as float32."""
    keras.utils.set_random_seed(SEED)
    lines, labels = make_lines(LINES, np.random.default_rng(SEED), "train")
    ids = to_ids(lines)
    encoder, classifier = text_network()
    fit_classifier(classifier, ids, labels, epochs=1, batch=128, rate=3e-3, seed=SEED, smoothing=0.0)
    convert.to_int8(encoder, ids[:500], int8 / "text.tflite")
    convert.to_float(encoder, float32 / "text.tflite")

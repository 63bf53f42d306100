"""The text encoder: data, training, conversion."""

from pathlib import Path

import keras
import numpy as np

from training import convert
from training.lines import make_lines, to_ids
from training.specs import SEED
from training.text_network import text_network

# Each line is used once, because new lines cost less than a second pass over old ones.
LINES = 640_000
BATCH, RATE = 128, 3e-3
# Lines that set the int8 ranges.
CALIBRATION = 500


def train(path: Path, float_path: Path) -> None:
    """Train the encoder on one core, in five to six minutes; write its int8 model, and the same weights in float32."""
    keras.utils.set_random_seed(SEED)
    lines, labels = make_lines(LINES, np.random.default_rng(SEED), "train")
    ids = to_ids(lines)
    encoder, classifier = text_network()
    steps = LINES // BATCH
    rate = keras.optimizers.schedules.CosineDecay(
        RATE / 20, steps * 19 // 20, 0.01, warmup_target=RATE, warmup_steps=steps // 20
    )
    # no label smoothing: the head adds log-probabilities, so they must be calibrated
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), loss, metrics=["accuracy"])
    classifier.fit(ids, labels, BATCH, epochs=1, verbose=2)
    convert.to_int8(encoder, ids[:CALIBRATION], path)
    convert.to_float(encoder, float_path)

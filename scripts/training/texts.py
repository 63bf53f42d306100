"""The text encoder: data, training, conversion."""

from pathlib import Path

import numpy as np

from training import convert, networks
from training.fitting import fit_classifier
from training.lines import make_lines, to_ids
from training.specs import SEED

LINES = 60_000
EPOCHS = 6


def train(path: Path) -> None:
    """Train the encoder and write its int8 model."""
    lines, labels = make_lines(LINES, np.random.default_rng(SEED))
    ids = to_ids(lines)
    encoder, classifier = networks.text_network(unroll=False)
    fit_classifier(classifier, ids, labels, epochs=EPOCHS, batch=128, rate=4e-3, seed=SEED)
    unrolled, _ = networks.text_network(unroll=True)
    unrolled.set_weights(encoder.get_weights())
    convert.to_int8(unrolled, ids[:500], path)

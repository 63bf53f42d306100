"""Writes small bundles with labels that were taught."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.bundle.taught import TaughtLabel
from daemon.bundle.thresholds import Threshold
from daemon.core.records import Array, Embedding, Moment
from daemon.pipeline.taught_bundle import write_taught_bundle

THRESHOLD = Threshold(start=0.8, end=0.5)


@dataclass(frozen=True)
class FittedLabels:
    """Implements `FittedHead`."""

    weights: Array
    bias: Array
    labels: Mapping[str, TaughtLabel]


def on_streams(*streams: str, state_of: str | None = None) -> TaughtLabel:
    """Return a label that applies in these streams."""
    return TaughtLabel(streams=dict.fromkeys(streams, THRESHOLD), state_of=state_of)


def random_fit(base: Path, labels: Mapping[str, TaughtLabel], scale: float = 1.0, seed: int = 5) -> FittedLabels:
    """Return a head for these labels with random weights, which fits a bundle."""
    generator = np.random.default_rng(seed)
    columns = load_bundle(base).manifest.head_input_size
    weights = generator.normal(0, scale, (len(labels), columns)).astype(np.float32)
    return FittedLabels(weights, generator.normal(size=len(labels)).astype(np.float32), labels)


def teach(
    base: Path, target: Path, labels: Mapping[str, TaughtLabel], *, version: str = "1.0.0+taught.1", scale: float = 1.0
) -> FittedLabels:
    """Write a bundle with random taught labels, and return them."""
    fitted = random_fit(base, labels, scale)
    features = np.random.default_rng(6).normal(0, 1, (3, fitted.weights.shape[1])).astype(np.float32)
    write_taught_bundle(base, target, version, fitted, features)
    return fitted


def random_moment(manifest: Manifest, seed: int, deviation: float = 3) -> Moment:
    """Return a moment with random vectors of some encoders, of one at least."""
    generator = np.random.default_rng(seed)
    specs = manifest.encoder_specs
    present = [name for name in specs if generator.random() < 0.7] or [next(iter(specs))]
    vectors = {name: generator.normal(0, deviation, specs[name].size).astype(np.float32) for name in present}
    return Moment(7, {name: Embedding(name, vector, 0, 7) for name, vector in vectors.items()})

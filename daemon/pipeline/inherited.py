"""The taught labels that a bundle was published with: they come first in the head of what is taught onto it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from daemon.bundle.bundle import Bundle
from daemon.bundle.taught import TaughtLabel
from daemon.core.records import Array
from daemon.fusion.taught import TaughtHead
from daemon.pipeline.heads import load_taught_head
from daemon.pipeline.taught_cases import TOLERANCE, load_taught_cases, scores_of


@dataclass(frozen=True, slots=True)
class Inherited:
    """Weights (P, D + M) and bias (P,) of the labels that stay, in the order of `labels`."""

    weights: Array
    bias: Array
    labels: Mapping[str, TaughtLabel]


def load_inherited(bundle: Bundle) -> Inherited:
    """Return the labels of a bundle that stay when others are taught. Raises Refused."""
    taught, columns, names = bundle.manifest.taught, bundle.manifest.head_input_size, bundle.manifest.inherited
    head = load_taught_head(bundle) if names else None
    if taught is None or head is None:
        return Inherited(np.zeros((0, columns), np.float32), np.zeros(0, np.float32), {})
    sizes = [spec.size for spec in bundle.manifest.encoder_specs.values()]
    weights, cases, count = _weights(head, sizes), load_taught_cases(bundle, taught), len(names)
    if not np.allclose(scores_of(weights, cases.bias, cases.features), cases.scores, rtol=0, atol=TOLERANCE):
        message = f"{bundle.file(taught.model)}: is not linear, or does not fit to {taught.cases}"
        raise bundle.problem(message, "taught", "model")
    return Inherited(weights[:count], cases.bias[:count], {name: taught.labels[name] for name in names})


def _weights(head: TaughtHead, sizes: list[int]) -> Array:
    """Return the weights (T, D + M) of a head to the last bit: the shares at F with a single 1."""
    encoders = [*np.repeat(np.arange(len(sizes)), sizes), *range(len(sizes))]
    features, columns = np.zeros(len(encoders), np.float32), []
    for column, encoder in enumerate(encoders):
        features[column] = 1
        columns.append(head.recognise(features, head.everywhere).shares[encoder])
        features[column] = 0
    return np.stack(columns, axis=1)

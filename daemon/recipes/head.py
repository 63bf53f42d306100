"""The weights of a head: constructed from a recipe's evidence, or read from a `.npz` file."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from daemon.bundle.encoder_specs import EncoderSpec
from daemon.bundle.layout import columns_of
from daemon.bundle.manifest import Manifest
from daemon.core.arrays import read_arrays
from daemon.core.document import Loaded
from daemon.core.errors import DocumentError, Refused
from daemon.core.records import Array, Tensor
from daemon.core.sealed import SealedFile
from daemon.recipes.recipe import Evidence, Recipe
from daemon.recipes.rules import scores_of, split_evidence

# of each number of a head: sums of such numbers are far from what float32 holds
MAX_WEIGHT = 1e9

# of a file with weights, unpacked
MAX_HEAD_BYTES = 256 * 1024 * 1024


def constructed_head(loaded: Loaded[Recipe], manifest: Manifest) -> tuple[Array, Array]:
    """Return weights (L, D + M) and bias (L,) from the labels' evidence, divided by the temperature. Pure.

    The logit of a background label is 0. Raises DocumentError where evidence names an output of many numbers, and
    where a number is too large.
    """
    recipe, specs = loaded.document, manifest.encoder_specs
    weights = np.zeros((len(recipe.labels), manifest.head_input_size), np.float64)
    for row, (label, about) in enumerate(recipe.labels.items()):
        for key, evidence in about.evidence.items():
            _add(weights[row], loaded, specs, label, key, evidence)
    bias = np.array([about.bias for about in recipe.labels.values()], np.float64)
    with np.errstate(over="ignore"):  # what overflows is told below
        weights, bias = weights / recipe.temperature, bias / recipe.temperature
    too_large = (np.abs(weights).max(axis=1) > MAX_WEIGHT) | (np.abs(bias) > MAX_WEIGHT)
    if too_large.any():
        label = list(recipe.labels)[int(too_large.argmax())]
        where = loaded.where("labels", label)
        raise DocumentError([f"{where}: bias, weights and offsets over temperature must lie within {MAX_WEIGHT:g}"])
    return weights.astype(np.float32), bias.astype(np.float32)


def read_head(copy: SealedFile, manifest: Manifest) -> tuple[Array, Array]:
    """Return weights (L, D + M) and bias (L,) of a `.npz` file. Raises Refused where it does not fit the manifest."""
    labels, columns = len(manifest.labels), manifest.head_input_size
    expected = {"weights": (labels, columns), "bias": (labels,)}
    stored = read_arrays(copy, MAX_HEAD_BYTES)
    arrays = [_array(copy.source, stored, name, shape, manifest) for name, shape in expected.items()]
    return arrays[0], arrays[1]


def _array(path: Path, stored: Mapping[str, Tensor], name: str, shape: tuple[int, ...], manifest: Manifest) -> Array:
    if name not in stored:
        raise Refused(f"{path}: has no array {name}; expected weights {shape} and bias; it has {sorted(stored)}")
    values = stored[name]
    if values.shape != shape:
        raise Refused(f"{path}: {name} has shape {values.shape}, expected {shape}: {_columns_text(manifest)}")
    if not np.issubdtype(values.dtype, np.floating) or not (np.abs(values) <= MAX_WEIGHT).all():  # also true for NaN
        raise Refused(f"{path}: {name} must be real numbers, all of them within {MAX_WEIGHT:g}")
    return values.astype(np.float32)


def _columns_text(manifest: Manifest) -> str:
    """Return what the shape of the weights is made of."""
    specs = manifest.encoder_specs
    parts = " + ".join(f"{spec.size} of {name}" for name, spec in specs.items())
    return f"{len(manifest.labels)} labels; {parts} + {len(specs)} present"


def _add(
    row: Array, loaded: Loaded[Recipe], specs: dict[str, EncoderSpec], label: str, key: str, evidence: Evidence
) -> None:
    """Add one piece of evidence to the weights of a label."""
    encoder, group, statistic = split_evidence(key)
    spec = specs[encoder]
    output, index = next((of, at) for name, of, at in scores_of(loaded.document, encoder) if name == group)
    if index is None and spec.outputs[output].size != 1:
        where = loaded.where("labels", label, "evidence", key)
        size = spec.outputs[output].size
        raise DocumentError([f"{where}: {output} has {size} numbers; name a group, or an output of one number"])
    block = 0 if spec.pool is None or statistic is None else 1 + [str(one) for one in spec.pool.of].index(statistic)
    row[columns_of(specs)[encoder][output][block][index or 0]] += evidence.weight
    row[len(row) - len(specs) + list(specs).index(encoder)] += evidence.offset

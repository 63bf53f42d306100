"""Reads the ML-BOM of a bundle: whether it describes the files, and the model card that it was made with. Pure."""

import json
from collections.abc import Sequence
from contextlib import suppress

from daemon.bundle.cyclonedx import Json
from daemon.bundle.files import ML_BOM
from daemon.bundle.manifest import Manifest
from daemon.bundle.ml_bom import ml_bom
from daemon.bundle.model_card import DataSet, Figure, ModelCard
from daemon.bundle.release import FileEntry

# what a document of another shape raises where a part of it is looked up
OTHER_SHAPE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)


def differences(content: bytes, files: Sequence[FileEntry]) -> list[str]:
    """Return what an ML-BOM says otherwise than the files, one text for each file. Raises ValueError if it is none."""
    described = described_files(content)
    found = {entry.path: entry.sha256 for entry in files if entry.path != ML_BOM}
    texts = []
    for path in sorted(described.keys() | found.keys()):
        if path not in described:
            texts.append(f"it does not name {path}")
        elif path not in found:
            texts.append(f"it names {path}, which is not there")
        elif described[path] != found[path]:
            texts.append(f"it names another sha256 of {path}")
    return texts


def described_files(content: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file that an ML-BOM describes, by path. Raises ValueError if it is none."""
    try:
        return {
            component["name"]: component["hashes"][0]["content"]
            for component in json.loads(content)["components"]
            if component["type"] in ("file", "machine-learning-model") and component.get("scope") != "excluded"
        }
    except OTHER_SHAPE as error:
        raise ValueError("is no ML-BOM of a bundle") from error


def renewed(content: bytes, manifest: Manifest, files: Sequence[FileEntry]) -> bytes:
    """Return an ML-BOM that describes the files: this one where it does, or a new one.

    The new one has the model card of this one where encoders and head are the same: other models have other figures.
    """
    with suppress(ValueError):  # it is none
        if not differences(content, files):
            return content
        described, found = described_files(content), {entry.path: entry.sha256 for entry in files}
        models = [*(spec.model for spec in manifest.encoder_specs.values()), manifest.head.model]
        if all(described.get(path) == found.get(path) for path in models):
            return ml_bom(manifest, files, card_of(content))
    return ml_bom(manifest, files)


def card_of(content: bytes) -> ModelCard:
    """Return the model card that an ML-BOM was made with. Raises ValueError if it is none of ours."""
    try:
        document = json.loads(content)
        card = document["metadata"]["component"]["modelCard"]
        considerations = card.get("considerations", {})
        return ModelCard(
            purpose=next(iter(considerations.get("useCases", [])), None),
            limits=considerations.get("technicalLimitations", []),
            data=[_data_set(one) for one in document["components"] if one["type"] == "data"],
            figures=[_figure(one) for one in card.get("quantitativeAnalysis", {}).get("performanceMetrics", [])],
        )
    except OTHER_SHAPE as error:
        raise ValueError("is no ML-BOM of a bundle") from error


def _data_set(component: Json) -> DataSet:
    (licence,) = component["licenses"]
    text = licence["expression"] if "expression" in licence else licence["license"]["name"]
    models = [one["value"] for one in component.get("properties", [])]
    return DataSet(name=component["name"], licence=text, used_for=component["description"], models=models)


def _figure(metric: Json) -> Figure:
    bounds = metric.get("confidenceInterval")
    interval = None if bounds is None else [bounds["lowerBound"], bounds["upperBound"]]
    return Figure(what=metric["type"], value=metric["value"], of=metric.get("slice"), interval=interval)

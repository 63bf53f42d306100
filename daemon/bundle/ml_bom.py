"""The ML-BOM of a bundle: a CycloneDX 1.6 document of its files, sources, licences, data and figures. Pure.

It follows from the manifest, the files and the model card alone, so equal bundles have equal documents.
"""

import re
from collections.abc import Iterator, Sequence

from daemon.bundle.cyclonedx import Json, document, hashes, licences, properties
from daemon.bundle.encoder_specs import EncoderSpec, ImageSpec, TensorSpec
from daemon.bundle.files import ML_BOM
from daemon.bundle.manifest import Manifest
from daemon.bundle.model_card import DataSet, Figure, ModelCard
from daemon.bundle.release import FileEntry

# the keys under `provenance` of the files that a recipe has made a bundle of
SOURCE_KEY = "source "
SHA256 = re.compile(r"^sha256:([0-9a-f]{64})$")


def ml_bom(manifest: Manifest, files: Sequence[FileEntry], card: ModelCard | None = None) -> bytes:
    """Return the document. `files` are those of the bundle; the document itself is none of them."""
    card = card or ModelCard()
    described = [entry for entry in files if entry.path != ML_BOM]
    components = [
        *(_file(manifest, entry, card) for entry in described),
        *_sources(manifest),
        *(_data(index, data) for index, data in enumerate(card.data)),
    ]
    return document({"component": _bundle(manifest, card)}, components)


def _bundle(manifest: Manifest, card: ModelCard) -> Json:
    considerations: Json = {}
    if card.purpose is not None:
        considerations["useCases"] = [card.purpose]
    if card.limits:
        considerations["technicalLimitations"] = card.limits
    parameters: Json = {
        "task": "recognition of labels in pictures, sound and text",
        "inputs": [{"format": _input_text(name, spec)} for name, spec in manifest.encoder_specs.items()],
        "outputs": [{"format": f"scores of {len(manifest.labels)} labels, {manifest.scoring}"}],
    }
    model_card: Json = {"modelParameters": parameters | _references(range(len(card.data)))}
    if card.figures:
        model_card["quantitativeAnalysis"] = {"performanceMetrics": [_metric(figure) for figure in card.figures]}
    if considerations:
        model_card["considerations"] = considerations
    component: Json = {
        "type": "machine-learning-model",
        "bom-ref": "bundle",
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "modelCard": model_card,
    }
    return component | {"properties": properties({"perceptd:label": manifest.labels})}


def _file(manifest: Manifest, entry: FileEntry, card: ModelCard) -> Json:
    model = _model_card(manifest, entry.path, card)
    component: Json = {
        "type": "file" if model is None else "machine-learning-model",
        "bom-ref": f"file {entry.path}",
        "name": entry.path,
        "hashes": hashes(entry.sha256),
    }
    parts = [one for one in manifest.licences if _part_of(entry.path, one.part)]
    if parts:
        component["licenses"] = licences([one.licence for one in parts])
        pages = [one.source for one in parts if one.source.startswith(("http://", "https://"))]
        if pages:
            component["externalReferences"] = [{"type": "website", "url": page} for page in pages]
        texts = [one.source for one in parts if one.source not in pages]
        if texts:
            component["properties"] = properties({"perceptd:made-of": texts})
    return component if model is None else component | {"modelCard": model}


def _part_of(path: str, part: str) -> bool:
    """Return whether an entry of `licences` is about a file: it names the file, or the directory that it is in."""
    return any(path == name or path.startswith(f"{name}/") for name in re.split(r",\s*", part))


def _model_card(manifest: Manifest, path: str, card: ModelCard) -> Json | None:
    """Return the model card of one file; None: the file is no model."""
    trained_on = _references([index for index, data in enumerate(card.data) if path in data.models])
    for name, spec in manifest.encoder_specs.items():
        if path == spec.model or (spec.edgetpu is not None and path == spec.edgetpu.model):
            output = {"format": f"embedding of {spec.size} numbers"}
            parameters = {"task": "feature extraction", "inputs": [{"format": _input_text(name, spec)}]}
            return {"modelParameters": parameters | {"outputs": [output]} | trained_on}
    heads = [manifest.head.model] + ([] if manifest.taught is None else [manifest.taught.model])
    if path in heads:
        embeddings = {
            "format": f"embeddings of {', '.join(manifest.encoder_specs)}: {manifest.head_input_size} numbers"
        }
        outputs = [{"format": "scores, and the share of each encoder"}]
        parameters = {"task": "classification", "inputs": [embeddings], "outputs": outputs}
        return {"modelParameters": parameters | trained_on}
    return None


def _input_text(name: str, spec: EncoderSpec) -> str:
    what = {"image": "picture", "audio": "sound", "text": "bytes of a line"}[spec.modality]
    colour = f" {spec.preprocessing.colour}" if isinstance(spec, ImageSpec) and spec.preprocessing else ""
    return f"{name}: {what}{colour}, {_tensor_text(spec.input)}"


def _tensor_text(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} {' x '.join(map(str, tensor.shape))}"


def _sources(manifest: Manifest) -> Iterator[Json]:
    """Yield the files of others that models were made of, which are not in the bundle."""
    for key, value in manifest.provenance.items():
        match = SHA256.match(value)
        if match is not None and (key.startswith(SOURCE_KEY) or key == "recipe"):
            kind = "file" if key == "recipe" else "machine-learning-model"
            source = {"type": kind, "bom-ref": key, "name": key.removeprefix(SOURCE_KEY), "hashes": hashes(match[1])}
            yield source | {"scope": "excluded"}


def _data(index: int, data: DataSet) -> Json:
    component: Json = {
        "type": "data",
        "bom-ref": _data_ref(index),
        "name": data.name,
        "description": data.used_for,
        "licenses": licences([data.licence]),
        "data": [{"type": "dataset", "name": data.name}],
    }
    return component | ({"properties": properties({"perceptd:trained": data.models})} if data.models else {})


def _metric(figure: Figure) -> Json:
    metric: Json = {"type": figure.what, "value": figure.value}
    if figure.of is not None:
        metric["slice"] = figure.of
    if figure.interval is not None:
        low, high = figure.interval
        metric["confidenceInterval"] = {"lowerBound": low, "upperBound": high}
    return metric


def _data_ref(index: int) -> str:
    return f"data {index + 1}"


def _references(indices: Sequence[int]) -> Json:
    return {"datasets": [{"ref": _data_ref(index)} for index in indices]} if indices else {}

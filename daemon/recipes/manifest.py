"""Makes the manifest of a bundle from a recipe and the tensors of its models. Pure; equal input gives equal bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.bundle.encoder_specs import EdgetpuSpec, TensorSpec
from daemon.bundle.manifest import Manifest
from daemon.core.document import Loaded, validate_like
from daemon.core.dumper import dump_document
from daemon.core.errors import DocumentError
from daemon.recipes.recipe import HEAD_FILE, Recipe, RecipeEncoder


@dataclass(frozen=True)
class ModelTensors:
    """The input and the named outputs of one model, and whether it is compiled for an Edge TPU."""

    input: TensorSpec
    outputs: Mapping[str, TensorSpec]
    is_for_edgetpu: bool = False


def manifest_of(
    loaded: Loaded[Recipe], models: Mapping[str, ModelTensors], hashes: Mapping[str, str]
) -> tuple[Manifest, bytes]:
    """Return the manifest, and the content of its file. `hashes` goes into its provenance.

    Raises DocumentError with the lines of the recipe, where a model does not fit what the recipe says of it.
    """
    recipe = loaded.document
    value: dict[str, Any] = {
        "format": 2,
        "name": recipe.name,
        "version": recipe.version,
        "description": recipe.description,
        "scoring": recipe.scoring,
        "labels": list(recipe.labels),
        "background": [label for label, about in recipe.labels.items() if about.background],
        "label_info": {label: _plain(about.info) for label, about in recipe.labels.items() if about.info is not None},
        "encoders": {name: _encoder(loaded, name, encoder, models) for name, encoder in recipe.encoders.items()},
        "head": {"model": HEAD_FILE},
        "thresholds": _thresholds(recipe),
        "selftest": _plain(recipe.selftest),
        "licences": [*_licences(recipe), *map(_plain, recipe.licences)],
        "provenance": dict(hashes),
    }
    return validate_like(loaded, value, Manifest), dump_document(value)


def _encoder(
    loaded: Loaded[Recipe], name: str, encoder: RecipeEncoder, models: Mapping[str, ModelTensors]
) -> dict[str, Any]:
    model = models[encoder.model]
    if model.is_for_edgetpu:
        where = loaded.where("encoders", name, "model")
        raise DocumentError(
            [
                f"{where}: {encoder.model} is compiled for an Edge TPU, so the CPU cannot run it;"
                " name the original here, and this model under edgetpu"
            ]
        )
    outputs = {
        output: _plain(tensor) | (_plain(encoder.outputs[output]) if output in encoder.outputs else {})
        for output, tensor in model.outputs.items()
    }
    value: dict[str, Any] = {"modality": encoder.modality, "model": encoder.model}
    if encoder.edgetpu is not None:
        where = loaded.where("encoders", name, "edgetpu")
        value["edgetpu"] = _edgetpu(where, encoder.model, encoder.edgetpu, models)
    value |= {"input": _plain(model.input), "preprocessing": _plain(encoder.preprocessing), "outputs": outputs}
    rest = _plain(encoder)
    return value | {key: rest[key] for key in ("pool", "max_age_ms", "rate_hz") if key in rest}


def _edgetpu(where: str, model: str, edgetpu: EdgetpuSpec, models: Mapping[str, ModelTensors]) -> dict[str, Any]:
    """Return what the manifest says of the compiled model: its outputs are outputs of `model`, with the same tensors.

    `where` begins messages. Raises DocumentError where the two do not fit.
    """
    original, compiled = models[model], models[edgetpu.model]
    if not compiled.is_for_edgetpu:
        raise DocumentError([f"{where}: {edgetpu.model} is not compiled for an Edge TPU; compile it, or leave it out"])
    if compiled.input != original.input:
        raise DocumentError([f"{where}: {edgetpu.model} has another input than {model}"])
    named = list(compiled.outputs)
    if edgetpu.outputs is not None and edgetpu.outputs != named:
        found, expected = ", ".join(named), ", ".join(edgetpu.outputs)
        raise DocumentError([f"{where}: {edgetpu.model} has the outputs {found}, expected {expected}"])
    for output, tensor in compiled.outputs.items():
        if tensor != original.outputs.get(output):
            raise DocumentError([f"{where}: {output} of {edgetpu.model} is not like an output of {model}"])
    return {"model": edgetpu.model} | ({"outputs": named} if named != list(original.outputs) else {})


def _thresholds(recipe: Recipe) -> dict[str, Any]:
    labels = {label: _plain(about.threshold) for label, about in recipe.labels.items() if about.threshold is not None}
    default = {} if recipe.threshold is None else {"default": _plain(recipe.threshold)}
    return default | ({"labels": labels} if labels else {})


def _licences(recipe: Recipe) -> Iterator[dict[str, str]]:
    """Yield the licence of each source, for the files that are made of it."""
    for name, source in recipe.sources.items():
        files = [file for file, model in recipe.models.items() if model.source == name]
        yield {"part": ", ".join(files), "licence": source.licence, "source": source.page}


def _plain(model: Any) -> Any:
    """Return a part of a document as it was written: without defaults."""
    return model.model_dump(exclude_unset=True, exclude_none=True)

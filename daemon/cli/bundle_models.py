"""Makes the models of a recipe in a child process, and names the line of the recipe where one cannot be made."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from daemon.bundle.encoder_specs import ONLY_OUTPUT
from daemon.core.document import Loaded
from daemon.core.errors import BundleError, ChildError
from daemon.core.sealed import SealedFile
from daemon.core.text import clean
from daemon.inference.edit_main import DEADLINE_S, EditAnswer, EditProblem, EditRequest, ModelRequest, make_models
from daemon.inference.edits import Edit, Expose, Group, Keep, Reduce
from daemon.recipes.manifest import ModelTensors
from daemon.recipes.recipe import OutputEdit, Recipe, classes_of
from daemon.runtime.child import MAX_REASON_CHARS, Child


def models_of(loaded: Loaded[Recipe], sources: Mapping[str, SealedFile], directory: Path) -> dict[str, ModelTensors]:
    """Write the models of a recipe into a directory, and return their tensors. Raises BundleError, and OSError."""
    recipe = loaded.document
    requests = {
        name: ModelRequest(
            source=sources[model.source].descriptor,
            target=str(directory / name),
            weights=model.weights,
            edits=None if model.outputs is None else {key: _edit(recipe, edit) for key, edit in model.outputs.items()},
        )
        for name, model in recipe.models.items()
    }
    request = EditRequest(models=requests, only_output=ONLY_OUTPUT).model_dump_json()
    try:
        descriptors = {source.descriptor for source in sources.values()}
        with Child(make_models, request, inherits=sorted(descriptors)) as child:
            answer = EditAnswer.model_validate_json(child.result(DEADLINE_S))
    except (ChildError, ValidationError) as error:
        raise BundleError(f"{loaded.where('models')}: the models cannot be made: {error}") from error
    if answer.disk_error is not None:
        raise OSError(answer.disk_error, os.strerror(answer.disk_error), str(directory))
    if answer.problem is not None:
        raise BundleError(f"{_where(loaded, answer.problem)}: {_named(recipe, answer.problem)}")
    return {name: ModelTensors(made.input, made.outputs, made.is_for_edgetpu) for name, made in answer.models.items()}


def _edit(recipe: Recipe, edit: OutputEdit) -> Edit:
    """Return an output of a recipe's model as the room inference takes it."""
    if edit.expose is not None:
        return Expose(operator=edit.expose.operator, size=edit.expose.size)
    groups = recipe.groups_of(edit)
    if groups is not None:
        return Group(classes={name: classes_of(ranges) for name, ranges in groups.items()}, of=edit.of)
    return Keep(of=edit.of) if edit.reduce is None else Reduce(reduce=edit.reduce, of=edit.of)


def _where(loaded: Loaded[Recipe], problem: EditProblem) -> str:
    model, *rest = problem.key
    if not rest:
        return loaded.where("models", model, "source")
    output, *group = rest
    edit = (loaded.document.models[model].outputs or {}).get(output)
    if edit is not None and group and isinstance(edit.group, str):
        return loaded.where("groups", edit.group, *group)
    return loaded.where("models", model, "outputs", output, *(["group", *group] if group else []))


def _named(recipe: Recipe, problem: EditProblem) -> str:
    """Return the reason, after the name of the source that it is about."""
    return f"the source {recipe.models[problem.key[0]].source}: {clean(problem.reason, MAX_REASON_CHARS)}"

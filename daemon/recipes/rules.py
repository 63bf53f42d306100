"""The rules between the parts of a recipe. Pure: each problem names file, line and key."""

import difflib
from collections.abc import Iterable, Iterator
from typing import get_args

from daemon.bundle.encoder_specs import ONLY_OUTPUT, Statistic
from daemon.core.document import Loaded
from daemon.core.errors import DocumentError
from daemon.recipes.recipe import HEAD_FILE, MAX_CLASSES, OutputEdit, Recipe, RecipeModel

MODEL_SUFFIX = ".tflite"


def check_recipe(loaded: Loaded[Recipe], *, has_head_file: bool) -> None:
    """Raise DocumentError with every problem. `has_head_file` says whether the weights come from a file."""
    problems = [*_models(loaded), *_encoders(loaded), *_labels(loaded), *_head(loaded, has_head_file)]
    problems += [*_classes(loaded), *_unused(loaded)]
    if problems:
        raise DocumentError(problems)


def scores_of(recipe: Recipe, encoder: str) -> Iterator[tuple[str, str, int | None]]:
    """Yield what evidence may name of an encoder: groups and outputs, each with its output and its index there.

    The index of an output that is not grouped is None: it must have one number.
    """
    for output, edit in _outputs(recipe.models[recipe.encoders[encoder].model]).items():
        groups = recipe.groups_of(edit)
        if groups is None:
            yield output, output, None
        else:
            yield from ((group, output, index) for index, group in enumerate(groups))


def split_evidence(key: str) -> tuple[str, str, str | None]:
    """Return encoder, group and statistic of a key of evidence; the statistic is None for the latest embedding."""
    encoder, _, rest = key.partition(".")
    group, _, statistic = rest.partition(".")
    return encoder, group, statistic or None


def _models(loaded: Loaded[Recipe]) -> Iterator[str]:
    recipe = loaded.document
    for name, model in recipe.models.items():
        key = ("models", name)
        if not name.endswith(MODEL_SUFFIX) or name.casefold() == HEAD_FILE:
            yield f"{loaded.where(*key)}: expected a name that ends with {MODEL_SUFFIX}, and is not {HEAD_FILE}"
        if model.source not in recipe.sources:
            yield f"{loaded.where(*key, 'source')}: {_unknown('source', model.source, recipe.sources)}"
        for output, edit in (model.outputs or {}).items():
            if isinstance(edit.group, str) and edit.group not in recipe.groups:
                where = loaded.where(*key, "outputs", output, "group")
                yield f"{where}: {_unknown('entry of groups', edit.group, recipe.groups)}"


def _classes(loaded: Loaded[Recipe]) -> Iterator[str]:
    recipe = loaded.document
    edits = (edit for model in recipe.models.values() for edit in (model.outputs or {}).values())
    named = (recipe.groups.get(edit.group, {}) if isinstance(edit.group, str) else edit.group or {} for edit in edits)
    count = sum(last - first + 1 for groups in named for ranges in groups.values() for first, last in ranges)
    if count > MAX_CLASSES:
        yield f"{loaded.where('models')}: their groups name {count} classes, at most {MAX_CLASSES} may be"


def _encoders(loaded: Loaded[Recipe]) -> Iterator[str]:
    recipe = loaded.document
    for name, encoder in recipe.encoders.items():
        key = ("encoders", name)
        if encoder.model not in recipe.models:
            yield f"{loaded.where(*key, 'model')}: {_unknown('model', encoder.model, recipe.models)}"
            continue
        if encoder.edgetpu is not None and encoder.edgetpu.model not in recipe.models:
            where = loaded.where(*key, "edgetpu", "model")
            yield f"{where}: {_unknown('model', encoder.edgetpu.model, recipe.models)}"
        outputs = _outputs(recipe.models[encoder.model])
        for output in encoder.outputs:
            if output not in outputs:
                yield f"{loaded.where(*key, 'outputs', output)}: {_unknown('output of its model', output, outputs)}"


def _labels(loaded: Loaded[Recipe]) -> Iterator[str]:
    recipe = loaded.document
    background = [label for label, about in recipe.labels.items() if about.background]
    if recipe.scoring == "independent" and len(background) != 1:
        yield (
            f"{loaded.where('labels')}: scoring: independent compares each label with the background; mark one label"
            f" by background: true, found {len(background)}"
        )
    for label, about in recipe.labels.items():
        where = loaded.where("labels", label)
        if about.background and (about.evidence or about.bias):
            yield f"{where}: the logit of a background label is 0; leave out its bias and evidence"
        for key in about.evidence:
            if problem := _evidence_problem(recipe, key):
                yield f"{loaded.where('labels', label, 'evidence', key)}: {problem}"


def _evidence_problem(recipe: Recipe, key: str) -> str | None:
    encoder, group, statistic = split_evidence(key)
    if encoder not in recipe.encoders or not group:
        return _unknown("encoder", encoder, recipe.encoders) + "; expected ENCODER.GROUP"
    if recipe.encoders[encoder].model not in recipe.models:
        return None  # that is a problem of its own
    if _groups_are_known(recipe, encoder):
        scores = [name for name, _, _ in scores_of(recipe, encoder)]
        if group not in scores:
            return _unknown(f"group or output of {encoder}", group, scores)
        if scores.count(group) > 1:
            return f"{encoder} has more than one {group}; give its groups and outputs different names"
    pool = recipe.encoders[encoder].pool
    if statistic is not None and (pool is None or statistic not in pool.of):
        return f"{encoder} pools no {statistic}; name it in pool.of, with one of {', '.join(get_args(Statistic))}"
    return None


def _groups_are_known(recipe: Recipe, encoder: str) -> bool:
    edits = (recipe.models[recipe.encoders[encoder].model].outputs or {}).values()
    return all(edit.group in recipe.groups for edit in edits if isinstance(edit.group, str))


def _head(loaded: Loaded[Recipe], has_head_file: bool) -> Iterator[str]:
    recipe = loaded.document
    if has_head_file and recipe.head == "constructed":
        yield f"{loaded.where('head')}: the head is constructed here; leave this key out, or --head"
        return
    if not has_head_file and recipe.head is None:
        yield f"{loaded.where('head')}: is missing; write `head: constructed`, or give the weights by --head FILE.npz"
        return
    for label, about in recipe.labels.items():
        where = loaded.where("labels", label)
        if has_head_file and (about.evidence or about.bias):
            yield f"{where}: the head comes from a file; leave out bias and evidence"
        if not has_head_file and not about.background and not about.evidence:
            yield f"{where}: has no evidence, so nothing can start it"
    if has_head_file and "temperature" in recipe.model_fields_set:
        yield f"{loaded.where('temperature')}: the head comes from a file; divide its weights and bias instead"


def _unused(loaded: Loaded[Recipe]) -> Iterator[str]:
    recipe = loaded.document
    models = {encoder.model for encoder in recipe.encoders.values()}
    models |= {encoder.edgetpu.model for encoder in recipe.encoders.values() if encoder.edgetpu is not None}
    edits = [edit for model in recipe.models.values() for edit in (model.outputs or {}).values()]
    uses = {
        "sources": {model.source for model in recipe.models.values()},
        "groups": {edit.group for edit in edits if isinstance(edit.group, str)},
        "models": models,
    }
    for part, used in uses.items():
        for name in getattr(recipe, part):
            if name not in used:
                yield f"{loaded.where(part, name)}: is not used; remove it, or look for a mistyped name"


def _outputs(model: RecipeModel) -> dict[str, OutputEdit]:
    """Return the outputs of a model by name; one that is not edited has one output."""
    return model.outputs or {ONLY_OUTPUT: OutputEdit()}


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(known)}"
    return f"no {what} '{name}'; {hint}"

"""A mistake in a recipe is reported with file, line and key."""

import copy
from pathlib import Path
from typing import Any

import pytest

from daemon.core.document import load_document
from daemon.core.dumper import dump_document
from daemon.core.errors import DocumentError
from daemon.recipes.recipe import Recipe
from daemon.recipes.rules import check_recipe
from tests.helpers.recipes import MODEL, recipe

CONTENT = recipe(b"model")
SOURCE = CONTENT["sources"]["pixels"]
OUTPUTS = ("models", MODEL, "outputs")
EYE = ("encoders", "eye")


def changed(key: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """Return the recipe with another value at the key; None removes it."""
    content = copy.deepcopy(CONTENT)
    part = content
    for name in key[:-1]:
        part = part[name]
    if value is None:
        del part[key[-1]]
    else:
        part[key[-1]] = value
    return content


def problems(path: Path, content: dict[str, Any], *, has_head_file: bool = False) -> str:
    path.write_bytes(dump_document(content))
    with pytest.raises(DocumentError) as caught:
        check_recipe(load_document(path, Recipe), has_head_file=has_head_file)
    for problem in caught.value.problems:
        assert problem.startswith(f"{path}:"), problem
    return str(caught.value)


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_a_whole_recipe_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(dump_document(CONTENT))
    loaded = load_document(path, Recipe)
    check_recipe(loaded, has_head_file=False)
    edit = loaded.document.models[MODEL].outputs
    assert edit is not None
    assert edit["groups"].group == {"low": [(0, 0), (1, 1)], "high": [(3, 3), (4, 5)]}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (("sources", "pixels", "licence"), None, "sources.pixels.licence: is missing"),
        (("sources", "pixels", "licence"), "", "sources.pixels.licence = '': string should have at least 1 character"),
        (("sources", "pixels", "sha256"), "abc", "sources.pixels.sha256 = 'abc': string should match pattern"),
        (("sources", "pixels", "size"), 10**12, "sources.pixels.size"),
        (("sources", "pixels", "form"), [], "sources.pixels.form: unknown key; did you mean 'from'?"),
        (("sources", "pixels", "from", 0, "url"), "ftp://x/y", "expected an http or https URL"),
        (("sources", "pixels", "from", 0, "url"), "https://a:b@x/y", "expected a URL without user and password"),
        (("sources", "pixels", "from", 0, "member"), "../x", "expected the path of one file in the archive"),
        (("sources", "pixels", "from", 0, "member"), "/etc/passwd", "expected the path of one file in the archive"),
        (("sources", "pixels", "from", 0, "size"), 5, "size and sha256 here are those of an archive"),
        (("sources", "more"), SOURCE, "sources.more: is not used"),
        ((*OUTPUTS, "groups", "group"), {}, "outputs.groups.group: expected one or more groups"),
        ((*OUTPUTS, "groups", "group", "low"), [], "group.low = []: expected a list of one or more classes"),
        ((*OUTPUTS, "groups", "group", "low"), ["5-3"], "expected the number of a class"),
        ((*OUTPUTS, "groups", "group", "low"), [-1], "expected the number of a class"),
        ((*OUTPUTS, "groups", "group", "low"), [True], "expected the number of a class"),
        ((*OUTPUTS, "groups", "group", "low"), [{1: 2}], "expected the number of a class"),
        ((*OUTPUTS, "groups", "group", "low"), ["0-99999999"], "expected the number of a class"),
        (
            (*OUTPUTS, "groups", "group"),
            {f"g{number}": ["0-99999"] for number in range(4096)},
            "models: their groups name 409600000 classes, at most 100000 may be",
        ),
        ((*OUTPUTS, "groups", "group", "low"), ["0-50000", "0-50000"], "their groups name 100005 classes"),
        ((*OUTPUTS, "groups", "group"), "sounds", "no entry of groups 'sounds'"),
        ((*OUTPUTS, "best", "expose"), {"operator": "MEAN", "size": 3}, "expected one of group, reduce, expose"),
        ((*OUTPUTS, "embedding", "of"), 1, "expose takes an inner tensor, so it has no of"),
        ((*OUTPUTS, "best", "reduce"), "mean", "best.reduce = 'mean': expected 'max'"),
        (("models", MODEL, "source"), "pixel", "no source 'pixel'; did you mean 'pixels'?"),
        (("models", "head.tflite"), {"source": "pixels"}, "expected a name that ends with .tflite, and is not head"),
        (("models", "b.tflite"), {"source": "pixels"}, "models.b.tflite: is not used"),
        (("groups",), {"sounds": {"a": [1]}}, "groups.sounds: is not used"),
        ((*EYE, "model"), "pixel.tflite", "no model 'pixel.tflite'; did you mean 'pixels.tflite'?"),
        ((*EYE, "edgetpu"), {"model": "x.tflite"}, "encoders.eye.edgetpu.model: no model 'x.tflite'"),
        ((*EYE, "outputs"), {"group": {"transform": "log"}}, "no output of its model 'group'; did you mean 'groups'?"),
        ((*EYE, "modality"), "sight", "encoders.eye: modality must be image, audio or text"),
        (("version",), 0.1, "version = 0.1: expected a version like 0.5.0, of three numbers"),
        (("version",), "0.1", "version = '0.1': expected a version like 0.5.0, of three numbers"),
        (("name",), "Eye", "name = 'Eye': expected a name of small letters, digits, _ and -, of at most 64"),
        ((*EYE, "preprocessing", "colour"), "red", "preprocessing.colour = 'red'"),
        (("labels", "bright", "evidence"), None, "labels.bright: has no evidence"),
        (("labels", "bright", "evidence", "ear.high"), {}, "evidence.ear.high: no encoder 'ear'"),
        (("labels", "bright", "evidence", "eye"), {}, "expected ENCODER.GROUP"),
        (("labels", "bright", "evidence", "eye.hihg"), {}, "no group or output of eye 'hihg'; did you mean 'high'?"),
        (("labels", "bright", "evidence", "eye.high.max"), {}, "eye pools no max"),
        (("labels", "none", "bias"), 1.0, "the logit of a background label is 0"),
        (("labels", "none", "background"), False, "mark one label by background: true, found 0"),
        (("head",), None, "write `head: constructed`, or give the weights by --head FILE.npz"),
        (("temperature",), 0.0, "temperature = 0.0"),
    ],
)
def test_a_mistake_is_reported_with_its_line(
    tmp_path: Path, key: tuple[str | int, ...], value: object, words: str
) -> None:
    assert words in problems(tmp_path / "recipe.yaml", changed(key, value))


def test_the_line_is_that_of_the_mistake(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    text = problems(path, changed(("labels", "bright", "evidence", "eye.hihg"), {"weight": 1.0}))
    assert text.startswith(f"{path}:{line_of(path, 'hihg')}: labels.bright.evidence.eye.hihg: ")


def test_the_same_name_for_a_group_and_an_output_is_refused_where_evidence_needs_it(tmp_path: Path) -> None:
    content = changed((*OUTPUTS, "high"), {"of": 1})
    assert "eye has more than one high; give its groups and outputs different names" in problems(
        tmp_path / "recipe.yaml", content
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "head: the head is constructed here; leave this key out, or --head"),
        ({"head": None}, "labels.bright: the head comes from a file; leave out bias and evidence"),
        (
            {"head": None, "temperature": 2.0, "labels": {"bright": {}, "none": {"background": True}}},
            "temperature: the head comes from a file; divide its weights and bias instead",
        ),
    ],
)
def test_a_head_from_a_file_takes_no_evidence(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    content = {key: value for key, value in (CONTENT | changes).items() if value is not None}
    assert words in problems(tmp_path / "recipe.yaml", content, has_head_file=True)

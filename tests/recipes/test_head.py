"""A constructed head gives the logits that its evidence says; a head of a file must fit the manifest."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daemon.bundle.encoder_specs import TensorSpec
from daemon.bundle.manifest import Manifest
from daemon.core.document import Loaded, load_document
from daemon.core.dumper import dump_document
from daemon.core.errors import DocumentError, Refused
from daemon.core.sealed import SealedFile
from daemon.recipes.head import constructed_head, read_head
from daemon.recipes.manifest import ModelTensors, manifest_of
from daemon.recipes.recipe import Recipe
from tests.helpers.recipes import MODEL, SIDE, recipe

PICTURE = TensorSpec(shape=[1, SIDE, SIDE, 1], dtype="float32")
EYE = recipe(b"model")["encoders"]["eye"]
# the encoder is used twice, so that the second one does not begin at 0
TENSORS = {
    MODEL: ModelTensors(
        PICTURE,
        {
            "groups": TensorSpec(shape=[1, 2], dtype="uint8", scale=0.5, zero_point=3),
            "embedding": TensorSpec(shape=[1, 1, 5], dtype="float32"),
            "best": TensorSpec(shape=[1, 1], dtype="float32"),
        },
    )
}
SIZE = 2 + 5 + 1


def made(tmp_path: Path, **changes: Any) -> tuple[Loaded[Recipe], Manifest, bytes]:
    pooled = {**EYE, "pool": {"seconds": 2, "of": ["max", "mean"]}, "outputs": {"groups": {"transform": "log"}}}
    content = recipe(b"model", **{"encoders": {"eye": EYE, "other": pooled}, **changes})
    path = tmp_path / "recipe.yaml"
    path.write_bytes(dump_document(content))
    loaded = load_document(path, Recipe)
    return loaded, *manifest_of(loaded, TENSORS, {"recipe": "sha256:0"})


def test_the_logits_are_bias_plus_weighted_numbers_while_an_encoder_is_present(tmp_path: Path) -> None:
    labels = {
        "bright": {
            "bias": -1.0,
            "evidence": {
                "eye.high": {"weight": 2.0, "offset": 0.5},
                "eye.best": {"weight": 3.0, "offset": 0.25},
                "other.low.mean": {"weight": 5.0, "offset": 7.0},
            },
        },
        "dark": {"evidence": {"other.low": {}}},
        "none": {"background": True},
    }
    loaded, manifest, _ = made(tmp_path, labels=labels, temperature=2.0)
    weights, bias = constructed_head(loaded, manifest)
    assert weights.shape == (3, SIZE + 3 * SIZE + 2)
    random = np.random.default_rng(0)
    eye, other = random.normal(size=SIZE), random.normal(size=3 * SIZE)
    features = np.concatenate([eye, other, [1, 1]])
    expected = (-1 + 2 * eye[1] + 0.5 + 3 * eye[7] + 0.25 + 5 * other[2 * SIZE] + 7) / 2
    np.testing.assert_allclose(weights @ features + bias, [expected, other[0] / 2, 0], rtol=1e-5)
    alone = np.concatenate([eye, np.zeros(3 * SIZE), [1, 0]])
    expected = (-1 + 2 * eye[1] + 0.5 + 3 * eye[7] + 0.25) / 2
    np.testing.assert_allclose(weights @ alone + bias, [expected, 0, 0], rtol=1e-5)


def test_evidence_of_many_numbers_is_refused(tmp_path: Path) -> None:
    labels = {"bright": {"evidence": {"eye.embedding": {}}}, "none": {"background": True}}
    loaded, manifest, _ = made(tmp_path, labels=labels)
    with pytest.raises(DocumentError, match=r"recipe.yaml:\d+: labels.bright.*embedding has 5 numbers; name a group"):
        constructed_head(loaded, manifest)


@pytest.mark.parametrize(
    ("about", "temperature"),
    [({"bias": 1e300}, 1.0), ({}, 1e-300), ({"evidence": {"eye.high": {"weight": -1e39}}}, 1.0)],
)
def test_a_number_that_is_too_large_is_refused(tmp_path: Path, about: dict[str, Any], temperature: float) -> None:
    labels = {"bright": {"evidence": {"eye.high": {}}} | about, "none": {"background": True}}
    loaded, manifest, _ = made(tmp_path, labels=labels, temperature=temperature)
    expected = r"recipe.yaml:\d+: labels.bright: bias, weights and offsets over temperature must lie within 1e\+09"
    with pytest.raises(DocumentError, match=expected):
        constructed_head(loaded, manifest)


def test_the_manifest_has_tensors_licences_and_provenance(tmp_path: Path) -> None:
    _, manifest, content = made(tmp_path)
    assert Manifest.model_validate(yaml.safe_load(content)) == manifest
    groups = manifest.encoder_specs["other"].outputs["groups"]
    assert (groups.dtype, groups.scale, groups.zero_point, groups.transform) == ("uint8", 0.5, 3, "log")
    assert manifest.background == ["none"]
    assert [(one.part, one.licence) for one in manifest.licences] == [(MODEL, "Apache-2.0")]
    assert manifest.provenance == {"recipe": "sha256:0"}
    assert content == made(tmp_path)[2]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            ModelTensors(PICTURE, {"groups": PICTURE}, is_for_edgetpu=True),
            "model: pixels.tflite is compiled for an Edge",
        ),
        (
            ModelTensors(TensorSpec(shape=[1, 4, 4, 3], dtype="float32"), {"groups": PICTURE}),
            "encoders.eye: input.shape must be [1, height, width, 1] for this colour",
        ),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_line_of_the_recipe(
    tmp_path: Path, model: ModelTensors, words: str
) -> None:
    loaded, _, _ = made(tmp_path)
    with pytest.raises(DocumentError) as caught:
        manifest_of(loaded, {MODEL: model}, {})
    line = loaded.lines["encoders", "eye"]
    assert words in str(caught.value)
    assert f"recipe.yaml:{line}" in str(caught.value) or f"recipe.yaml:{line + 2}" in str(caught.value)


GROUPS = TensorSpec(shape=[1, 2], dtype="float32")
EMBEDDING = TensorSpec(shape=[1, 5], dtype="float32")
COMPILED = "compiled.tflite"


@pytest.mark.parametrize(
    ("named", "compiled", "words"),
    [
        (None, ModelTensors(PICTURE, {"groups": GROUPS}, is_for_edgetpu=True), None),
        (["groups"], ModelTensors(PICTURE, {"groups": GROUPS}, is_for_edgetpu=True), None),
        (None, ModelTensors(PICTURE, {"groups": GROUPS}), "compiled.tflite is not compiled for an Edge TPU"),
        (None, ModelTensors(GROUPS, {"groups": GROUPS}, is_for_edgetpu=True), "has another input than pixels.tflite"),
        (
            None,
            ModelTensors(PICTURE, {"groups": EMBEDDING}, is_for_edgetpu=True),
            "groups of compiled.tflite is not like",
        ),
        (None, ModelTensors(PICTURE, {"more": GROUPS}, is_for_edgetpu=True), "more of compiled.tflite is not like"),
        (
            ["embedding"],
            ModelTensors(PICTURE, {"groups": GROUPS}, is_for_edgetpu=True),
            "has the outputs groups, expected embedding",
        ),
    ],
)
def test_a_model_for_an_edge_tpu_may_have_fewer_outputs(
    tmp_path: Path, named: list[str] | None, compiled: ModelTensors, words: str | None
) -> None:
    edgetpu = {"model": COMPILED} | ({} if named is None else {"outputs": named})
    path = tmp_path / "recipe.yaml"
    models = {name: {"source": "pixels", "outputs": {"groups": {}}} for name in (MODEL, COMPILED)}
    content = recipe(b"model", models=models, encoders={"eye": {**EYE, "edgetpu": edgetpu}})
    path.write_bytes(dump_document(content))
    loaded = load_document(path, Recipe)
    tensors = {MODEL: ModelTensors(PICTURE, {"groups": GROUPS, "embedding": EMBEDDING}), COMPILED: compiled}
    if words is None:
        spec = manifest_of(loaded, tensors, {})[0].encoder_specs["eye"]
        assert spec.edgetpu is not None
        assert spec.edgetpu.outputs == ["groups"]
        return
    with pytest.raises(DocumentError) as caught:
        manifest_of(loaded, tensors, {})
    assert words in str(caught.value)


def test_a_head_of_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    _, manifest, _ = made(tmp_path)
    weights, bias = np.ones((2, 4 * SIZE + 2)), np.array([1.0, 2.0], np.float32)
    np.savez(tmp_path / "head.npz", weights=weights, bias=bias)
    found = read_head(SealedFile(tmp_path / "head.npz"), manifest)
    np.testing.assert_array_equal(found[0], weights)
    np.testing.assert_array_equal(found[1], bias)
    assert found[0].dtype == np.float32


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"weights": np.ones((2, 34))}, "has no array bias"),
        (
            {"weights": np.ones((2, 33)), "bias": np.ones(2)},
            "expected (2, 34): 2 labels; 8 of eye + 24 of other + 2 present",
        ),
        ({"weights": np.ones((2, 34)), "bias": np.ones(3)}, "bias has shape (3,), expected (2,)"),
        (
            {"weights": np.full((2, 34), np.nan), "bias": np.ones(2)},
            "weights must be real numbers, all of them within",
        ),
        (
            {"weights": np.full((2, 34), 2e9), "bias": np.ones(2)},
            "weights must be real numbers, all of them within",
        ),
        (
            {"weights": np.full((2, 34), "x"), "bias": np.ones(2)},
            "weights must be real numbers, all of them within",
        ),
        ({"weights": np.full((2, 34), None), "bias": np.ones(2)}, "expected arrays that numpy.savez has written"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    _, manifest, _ = made(tmp_path)
    np.savez(tmp_path / "head.npz", **arrays)
    with pytest.raises(Refused) as caught:
        read_head(SealedFile(tmp_path / "head.npz"), manifest)
    assert words in str(caught.value)


def npz(shape: str, method: int = 0) -> bytes:
    """Return a `.npz` file whose weights are of a shape that the file does not have, packed by an unknown method."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("weights.npy"), b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    content = bytearray(target.getvalue())
    content[content.index(b"PK\1\2") + 10] = content[8] = method
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4", b"\x93NUMPY", b"text", npz("(1000000, 1000000)"), npz("(-1,)"), npz("(2, 34)", 77)],
    ids=["empty", "zip", "numpy", "text", "huge", "negative", "packed"],
)
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    _, manifest, _ = made(tmp_path)
    (tmp_path / "head.npz").write_bytes(content)
    with pytest.raises(Refused, match=r"head\.npz: cannot be read: expected arrays that numpy.savez has written"):
        read_head(SealedFile(tmp_path / "head.npz"), manifest)

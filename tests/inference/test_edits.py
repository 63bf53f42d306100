"""Edits of models give exactly what numpy computes of the unedited model, and refuse what does not fit."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from daemon.core.errors import MismatchError, ModelError
from daemon.core.records import Array
from daemon.inference.edits import Edit, Expose, Group, Keep, Reduce, edit_model
from daemon.inference.model_file import input_spec, is_compiled_for_edgetpu, output_spec, read_model, write_model
from tests.helpers.recipes import HIDDEN, write_pixels
from tests.inference.layers import edited
from tests.shared import SHARED, needs_shared

MODELS = SHARED / "models"
PIXELS = write_pixels()

# one group is a single class, and one names a class twice
GROUPS = {"first": [0], "some": [2, 1, 4], "all": [5, 4, 3, 2, 1, 0, 0]}


def outputs_of(model: bytes, value: Array) -> list[Array]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]


def random_input(model: bytes, seed: int) -> Array:
    spec, random = input_spec(read_model(model)), np.random.default_rng(seed)
    if spec.dtype == "float32":
        return random.normal(0, 1.5, spec.shape).astype(np.float32)
    return random.integers(0, 256, spec.shape).astype(spec.dtype)


def highest(scores: Array, groups: dict[str, list[int]]) -> Array:
    return np.array([[scores[..., classes].max() for classes in groups.values()]], scores.dtype)


@pytest.mark.parametrize("seed", range(3))
def test_groups_anchors_and_inner_tensors_are_exact(seed: int) -> None:
    model = edit_model(
        PIXELS,
        {
            "embedding": Expose(operator="FULLY_CONNECTED", size=HIDDEN),
            "groups": Group(classes=GROUPS),
            "best": Reduce(reduce="max", of=1),
            "scores": Keep(),
        },
    )
    value = random_input(PIXELS, seed)
    scores, anchors = outputs_of(PIXELS, value)
    embedding, groups, best, kept = outputs_of(model, value)
    assert embedding.shape == (1, HIDDEN)
    np.testing.assert_array_equal(groups, highest(scores, GROUPS))
    np.testing.assert_array_equal(best, anchors.max(axis=1))
    np.testing.assert_array_equal(kept, scores)


def test_an_edited_model_is_the_same_each_time_and_can_be_edited_again() -> None:
    edits: dict[str, Edit] = {"groups": Group(classes=GROUPS), "scores": Keep()}
    once = edit_model(PIXELS, edits)
    assert once == edit_model(PIXELS, edits)
    again = edit_model(once, {"highest": Group(classes={"any": [0, 1, 2]}, of=0)})
    value = random_input(PIXELS, 1)
    np.testing.assert_array_equal(outputs_of(again, value)[0], outputs_of(once, value)[0].max(keepdims=True))


@pytest.mark.parametrize(
    ("edit", "words", "key"),
    [
        (Expose(operator="MEAN", size=5), "the model has no MEAN of 5 numbers; its MEAN gives no number", ("x",)),
        (
            Expose(operator="FULLY_CONNECTED", size=4),
            "FULLY_CONNECTED of 4 numbers; its FULLY_CONNECTED gives 5, 6, 7",
            ("x",),
        ),
        (Expose(operator="MEEN", size=5), "MEEN is no operator of TFLite", ("x",)),
        (Group(classes={"a": [0], "b": [3, 6]}), "there is no class 6; the model has classes 0 to 5", ("x", "b")),
        (Group(classes={"a": [0]}, of=1), "groups need one row of class scores, but the model gives [1, 7, 1]", ("x",)),
        (Group(classes={"a": [0]}, of=2), "is made of output 2, but the model has outputs 0 to 1", ("x",)),
        (Reduce(reduce="max"), "reduce needs an output of shape (1, anchors, n), but the model gives [1, 6]", ("x",)),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edit: Edit, words: str, key: tuple[str, ...]) -> None:
    with pytest.raises(MismatchError) as caught:
        edit_model(PIXELS, {"x": edit})
    assert words in str(caught.value)
    assert caught.value.key == key


def test_a_tensor_that_is_not_unique_or_named_twice_is_refused() -> None:
    twice = edit_model(PIXELS, {"a": Group(classes={"all": [0]}), "b": Group(classes={"all": [1]})})
    with pytest.raises(MismatchError, match="the model has 2 tensors by REDUCE_MAX of 1 numbers, expected one"):
        edit_model(twice, {"x": Expose(operator="REDUCE_MAX", size=1)})
    with pytest.raises(MismatchError, match="is the same tensor as one; leave one of them out"):
        edit_model(PIXELS, {"one": Keep(), "two": Keep()})


def test_only_types_that_a_bundle_can_have_are_grouped() -> None:
    def as_half(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.outputs[0]].type = schema.TensorType.FLOAT16

    half = edited(PIXELS, as_half)
    with pytest.raises(MismatchError, match="is made of an output of float16, expected one of float32, int8, uint8"):
        edit_model(half, {"x": Group(classes={"a": [0]})})
    with pytest.raises(MismatchError, match=r"has an output that a bundle cannot have: float16 of shape \[1, 6\]"):
        output_spec(read_model(half), 0, "x")


def test_constants_are_aligned_as_the_schema_wants() -> None:
    content = edit_model(PIXELS, {"groups": Group(classes=GROUPS)})
    buffers = [bytes(one.data) for one in read_model(content).buffers if one.data is not None and len(one.data) > 8]
    assert len(buffers) >= 4
    assert all(content.index(one) % 16 == 0 for one in buffers)


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"PK\3\4 no model", bytes(4) + b"TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 99]
)
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"is not a TFLite model|is a damaged TFLite model"):
        edit_model(content, {"x": Keep()})


def test_a_damaged_model_is_refused_or_edited_and_never_crashes() -> None:
    random = np.random.default_rng(7)
    for cut in random.integers(8, len(PIXELS), 40):
        with pytest.raises(ModelError):
            edit_model(PIXELS[:cut], {"x": Group(classes=GROUPS)})
    for _ in range(150):
        damaged = bytearray(PIXELS)
        for position in random.integers(8, len(damaged), 3):
            damaged[position] = random.integers(256)
        try:
            edit_model(bytes(damaged), {"x": Group(classes=GROUPS)})
        except ModelError:
            continue


def test_indices_beyond_their_tables_are_refused() -> None:
    def beyond(model: schema.ModelT) -> None:
        model.subgraphs[0].outputs = [99]

    with pytest.raises(ModelError, match="refers to parts that it does not have"):
        read_model(edited(PIXELS, beyond))


@needs_shared
@pytest.mark.parametrize(
    ("file", "size", "count"), [("yamnet_spectra_in", 1024, 521), ("tf2_mobilenet_v2_1.0_224_ptq", 1280, 1001)]
)
def test_public_classifiers_are_grouped_in_their_own_type(file: str, size: int, count: int) -> None:
    content = (MODELS / f"{file}.tflite").read_bytes()
    random = np.random.default_rng(size)
    groups = {f"g{n}": random.choice(count, random.integers(1, 60), replace=False).tolist() for n in range(9)}
    edits: dict[str, Edit] = {"groups": Group(classes=groups), "embedding": Expose(operator="MEAN", size=size)}
    edited_model = edit_model(content, edits)
    before, after = output_spec(read_model(content), 0), output_spec(read_model(edited_model), 0)
    assert (after.dtype, after.scale, after.zero_point) == (before.dtype, before.scale, before.zero_point)
    for seed in range(2):
        value = random_input(content, seed)
        found, embedding = outputs_of(edited_model, value)
        np.testing.assert_array_equal(found, highest(outputs_of(content, value)[0], groups))
        assert embedding.shape == (1, 1, 1, size)
        assert len(np.unique(embedding)) > 10  # the memory of an inner tensor is not reused before it is read


@needs_shared
def test_scores_of_int8_are_grouped_too() -> None:
    content = (MODELS / "tf2_mobilenet_v2_1.0_224_ptq.tflite").read_bytes()
    signed = edit_model(content, {"scores": Expose(operator="SOFTMAX", size=1001)})
    assert output_spec(read_model(signed), 0).dtype == "int8"
    groups = {"dog": list(range(152, 270)), "cat": [282, 283]}
    value = random_input(content, 8)
    (found,) = outputs_of(edit_model(signed, {"groups": Group(classes=groups)}), value)
    np.testing.assert_array_equal(found, highest(outputs_of(signed, value)[0], groups))


@needs_shared
def test_the_people_of_a_detector_are_its_highest_anchor() -> None:
    content = (MODELS / "pose_detection.tflite").read_bytes()
    edited_model = edit_model(content, {"person": Reduce(reduce="max", of=1)})
    value = random_input(content, 3)
    (person,) = outputs_of(edited_model, value)
    assert person.shape == (1, 1)
    np.testing.assert_array_equal(person, outputs_of(content, value)[1].max(axis=1))


@needs_shared
def test_a_model_for_an_edge_tpu_keeps_its_compiled_part() -> None:
    content = (MODELS / "yamnet_spectra_in_edgetpu.tflite").read_bytes()
    groups = {"speech": list(range(6)), "dog": [67, 69]}
    model = read_model(edit_model(content, {"groups": Group(classes=groups)}))
    original = read_model(content)
    assert is_compiled_for_edgetpu(model)
    assert output_spec(model, 0).shape == [1, 2]
    (compiled,) = [one for one in model.subgraphs[0].operators if one.customOptions is not None]
    (before,) = [one for one in original.subgraphs[0].operators if one.customOptions is not None]
    assert bytes(compiled.customOptions) == bytes(before.customOptions)
    assert compiled.customOptionsFormat == before.customOptionsFormat


@needs_shared
def test_what_follows_the_compiled_part_runs_on_the_cpu() -> None:
    content = (MODELS / "yamnet_spectra_in_edgetpu.tflite").read_bytes()
    groups = {"speech": list(range(6)), "dog": [67, 69]}

    def without_chip(model: schema.ModelT) -> None:
        # what the chip computes becomes the input
        graph = model.subgraphs[0]
        (chip,) = [one for one in graph.operators if one.customOptions is not None]
        graph.inputs = [chip.outputs[0]]
        graph.operators = [one for one in graph.operators if one.outputs[0] > chip.outputs[0]]

    model = edited(edit_model(content, {"groups": Group(classes=groups)}), without_chip)
    scores = np.random.default_rng(1).integers(-128, 128, (1, 521)).astype(np.int8)
    (found,) = outputs_of(model, scores)
    np.testing.assert_array_equal(found, (highest(scores, groups).astype(np.float32) + 128) / 256)


@needs_shared
def test_a_model_that_is_written_again_computes_the_same(tmp_path: Path) -> None:
    content = (MODELS / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite").read_bytes()
    value = random_input(content, 5)
    again = write_model(read_model(content))
    np.testing.assert_array_equal(outputs_of(again, value)[0], outputs_of(content, value)[0])

"""The manifest of format 2: what it allows, how mistakes are told, and what format 1 still is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.bundle.manifest import Manifest
from daemon.bundle.release import oldest_perceptd
from daemon.cli.main import main
from daemon.core.document import parse_document
from daemon.core.errors import DocumentError
from daemon.pipeline.recogniser import load_recogniser
from tests.bundle.test_bundle import line_of, refusal
from tests.helpers import bundle_builder
from tests.helpers.format2_bundle import SIDE, manifest, write_bundle, write_layers

Change = Callable[[dict[str, Any]], None]
PATH = Path("bundle.yaml")
WAVEFORM = {"kind": "waveform", "sample_rate_hz": 8000, "samples": 40, "stride_samples": 40}
FORMAT_1 = {
    "text": {
        "model": "a.tflite",
        "input": {"shape": [1, 4], "dtype": "int32"},
        "output": {"shape": [1, 4], "dtype": "float32"},
        "max_age_ms": 9,
    }
}


def parsed(content: dict[str, Any]) -> Manifest:
    return parse_document(PATH, yaml.safe_dump(content, sort_keys=False).encode(), Manifest).document


def fresh() -> dict[str, Any]:
    """Return the content of the tests' bundle.yaml, in which no part appears twice."""
    return json.loads(json.dumps(manifest()))


class put:  # noqa: N801  (reads as a verb in the tables)
    """A change of a manifest's content that sets a key; None removes it."""

    def __init__(self, value: object, *key: str) -> None:
        self._value, self._key = value, key

    def __call__(self, content: dict[str, Any]) -> None:
        *way, last = self._key
        for part in way:
            content = content[part]
        content[last] = self._value
        if self._value is None:
            del content[last]


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [
        (put(3, "format"), "format = 3", "this version of perceptd reads bundles up to format 2; update perceptd"),
        (put("2", "format"), "format = '2'", "expected 1 or 2"),
        (put(1, "format"), "encoders", "format 1 describes its encoders by `modalities`"),
        (put(FORMAT_1, "modalities"), "modalities", "format 2 describes its encoders by `encoders`"),
        (put(None, "encoders"), "encoders", "is missing"),
        (put("independant", "scoring"), "scoring = 'independant'", "expected 'exclusive' or 'independent'"),
        (put([], "background"), "background = []", "expected one label: `scoring: independent` compares each label"),
        (put("video", "encoders", "scene", "modality"), "encoders.scene", "modality must be image, audio or text"),
        (put(None, "encoders", "scene", "modality"), "encoders.scene", "modality must be image, audio or text"),
        (put(None, "encoders", "scene", "outputs"), "encoders.scene.outputs", "is missing"),
        (put({}, "encoders", "scene", "output"), "encoders.scene.output", "unknown key; did you mean 'outputs'?"),
        (
            put({"shape": [1], "dtype": "float32"}, "encoders", "scene", "outputs", "Groups"),
            "encoders.scene.outputs.Groups",
            "expected a name of small letters, digits, _ and -, of at most 64 characters",
        ),
        (
            put("sqrt", "encoders", "scene", "outputs", "groups", "transform"),
            "encoders.scene.outputs.groups.transform = 'sqrt'",
            "expected 'none', 'log' or 'l2'",
        ),
        (
            put(0, "encoders", "scene", "outputs", "groups", "factor"),
            "encoders.scene.outputs.groups.factor = 0",
            "expected greater than or equal to 0.000001",
        ),
        (
            put(1e300, "encoders", "scene", "outputs", "groups", "factor"),
            "encoders.scene.outputs.groups.factor = 1e+300",
            "expected less than or equal to 1000000",
        ),
        (
            put({"shape": [1, 2], "dtype": "float32", "transform": "log", "floor": 1e-60},
                "encoders", "scene", "outputs", "groups"),
            "encoders.scene.outputs.groups.floor = 1e-60",
            "expected greater than or equal to 0.000000001",
        ),
        (put(["image"], "encoders", "scene", "modality"), "encoders.scene", "modality must be image, audio or text"),
        (put(5, "encoders", "scene"), "encoders.scene = 5", "modality must be image, audio or text"),
        (put({}, "encoders", "sound", "preprocessing", "kind"), "encoders.sound.preprocessing", "kind must be log_mel"),
        (
            put(0.1, "encoders", "scene", "outputs", "groups", "floor"),
            "encoders.scene.outputs.groups.floor = 0.1",
            "needs `transform: log`",
        ),
        (
            put("s.tflite", "encoders", "scene", "edgetpu"),
            "encoders.scene.edgetpu = 's.tflite'",
            "expected {model: s.tflite}; only format 1 names the file alone",
        ),
        (
            put({"model": "s.tflite", "outputs": ["grups"]}, "encoders", "scene", "edgetpu"),
            "encoders.scene.edgetpu.outputs = ['grups']",
            "grups is none of the outputs groups, embedding",
        ),
        (
            put({"model": "s.tflite", "outputs": ["embedding", "groups"]}, "encoders", "scene", "edgetpu"),
            "encoders.scene.edgetpu.outputs = ['embedding', 'groups']",
            "must name each output once, in the order of outputs",
        ),
        (
            put(2, "encoders", "sound", "rate_hz"),
            "encoders.sound.rate_hz = 2",
            "only an encoder of pictures has a rate; preprocessing.stride_frames or stride_samples says how often",
        ),
        (
            put(1, "encoders", "scene", "rate_hz"),
            "encoders.scene.max_age_ms = 500",
            "must be at least 2000, twice the time between two pictures at rate_hz",
        ),
        (
            put(49, "encoders", "sound", "max_age_ms"),
            "encoders.sound.max_age_ms = 49",
            "must be at least 50, the time from one patch to the next",
        ),
        (put(400, "encoders", "sound", "max_age"), "encoders.sound.max_age", "unknown key; did you mean 'max_age_ms'?"),
        (
            put("wave", "encoders", "sound", "preprocessing", "kind"),
            "encoders.sound.preprocessing",
            "kind must be log_mel or waveform",
        ),
        (
            put(80, "encoders", "sound", "preprocessing", "stride_samples"),
            "encoders.sound.preprocessing.stride_samples",
            "unknown key; did you mean 'stride_frames'?",
        ),
        (
            put(WAVEFORM | {"stride_frames": 4}, "encoders", "sound", "preprocessing"),
            "encoders.sound.preprocessing.stride_frames",
            "unknown key; did you mean 'stride_samples'?",
        ),
        (
            put(WAVEFORM | {"samples": 50}, "encoders", "sound", "preprocessing"),
            "encoders.sound",
            "input.shape must hold 50 samples",
        ),
        (
            put({"seconds": 4, "of": ["max", "max"]}, "encoders", "scene", "pool"),
            "encoders.scene.pool",
            "of must name each statistic once",
        ),
        (
            put({**fresh()["encoders"]["sound"], "preprocessing": WAVEFORM | {"sample_rate_hz": 16000},
                 "input": {"shape": [40], "dtype": "float32"}}, "encoders", "other"),
            "encoders.other.preprocessing.sample_rate_hz = 16000",
            "expected 8000, as in the other encoders of sound",
        ),
        (put(fresh()["encoders"]["scene"], "encoders", "audio"), "encoders.audio", "has modality image: give it an"),
        (
            put([1, 70_000], "encoders", "scene", "outputs", "embedding", "shape"),
            "encoders",
            "have 70008 numbers together, at most 65536 may be",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_key_and_line(change: Change, key: str, message: str) -> None:
    content = fresh()
    change(content)
    with pytest.raises(DocumentError) as caught:
        parsed(content)
    text = yaml.safe_dump(content, sort_keys=False).splitlines()
    (problem,) = [each for each in caught.value.problems if f": {key}: {message}" in each]
    line = int(problem.split(":")[1])
    # the line is that of the key, or of the part that should have it
    assert line == 1 or text[line - 1].strip().rstrip(":").split(":")[0] in key.split(" ")[0].split(".")


@pytest.mark.parametrize("shape", [[40], [1, 40], [1, 40, 1]])
def test_sound_may_be_a_waveform(shape: list[int]) -> None:
    content = fresh()
    content["encoders"]["sound"] |= {"preprocessing": WAVEFORM, "input": {"shape": shape, "dtype": "float32"}}
    how = parsed(content).encoder_specs["sound"].preprocessing
    assert (how.patch_shape, how.patch_samples, how.stride_samples) == ((40,), 40, 40)


def test_the_input_of_the_head_is_all_outputs_what_pool_appends_and_one_entry_for_each_encoder() -> None:
    content = fresh()
    content["encoders"]["scene"]["pool"] = {"seconds": 4, "of": ["mean", "max"]}
    found = parsed(content)
    assert {name: spec.size for name, spec in found.encoder_specs.items()} == {"scene": 15, "people": 2, "sound": 1}
    assert found.head_input_size == 15 + 2 + 1 + 3
    assert (found.senses, found.sample_rate_hz) == (("image", "audio"), 8000)


def test_both_formats_are_seen_alike() -> None:
    found = parsed(bundle_builder.manifest())
    (spec,) = found.encoder_specs.values()
    assert list(found.encoder_specs) == ["image"]
    assert list(spec.outputs) == ["output"]
    assert (spec.modality, spec.size, spec.edgetpu, spec.pool, found.scoring) == ("image", 2, None, None, "exclusive")


@pytest.mark.parametrize(
    ("model", "change", "key", "message"),
    [
        (
            "scene.tflite",
            put([1, 3], "encoders", "scene", "outputs", "groups", "shape"),
            "encoders.scene.outputs.groups.shape",
            "scene.tflite has as output 1 one of shape [1, 2], expected [1, 3]; "
            "its outputs are, in this order: float32 [1, 2], float32 [1, 1, 1, 3]",
        ),
        (
            "scene.tflite",
            put("int32", "encoders", "scene", "outputs", "embedding", "dtype"),
            "encoders.scene.outputs.embedding.dtype",
            "scene.tflite has as output 2 one of float32, expected int32; its outputs are, in this order: ",
        ),
        (
            "scene.tflite",
            put(None, "encoders", "scene", "outputs", "embedding"),
            "encoders.scene.outputs",
            "scene.tflite has 2 outputs, expected 1",
        ),
        (
            "sound.tflite",
            put([1, 2], "encoders", "sound", "outputs", "level", "shape"),
            "encoders.sound.outputs.level.shape",
            "sound.tflite has an output of shape [1, 1], expected [1, 2]",
        ),
        (
            "scene.tflite",
            put("none.tflite", "encoders", "scene", "model"),
            "encoders.scene.model",
            "no file none.tflite in DIR",
        ),
        (
            "scene.tflite",
            put({"model": "twin.tflite"}, "encoders", "scene", "edgetpu"),
            "encoders.scene.edgetpu",
            "no file twin.tflite in DIR",
        ),
        (
            "head.tflite",
            put({"seconds": 4, "of": ["max"]}, "encoders", "people", "pool"),
            "encoders",
            "embeddings of 5 of scene + 4 of people + 1 of sound, and 3 present entries do not match the head",
        ),
    ],
)
def test_a_model_that_does_not_match_is_told_with_the_key_of_its_tensor(
    tmp_path: Path, model: str, change: Change, key: str, message: str
) -> None:
    content = fresh()
    change(content)
    said = refusal(write_bundle(tmp_path / "bundle", **content))
    assert said.startswith("DIR/bundle.yaml:")
    assert f": {key}: {message}" in said
    assert model in said or "no file" in said


def test_outputs_of_one_shape_are_told_apart_by_their_order(tmp_path: Path) -> None:
    bundle = load_recogniser(load_bundle(write_bundle(tmp_path / "bundle")))
    model = bundle.models["people"]
    model.input[...] = np.arange(SIDE * SIDE, dtype=np.float32).reshape(model.input.shape)
    left, right = model.invoke()
    assert left.tolist() == (-right).tolist() == [[-0.5]]


def test_a_bundle_is_shown_with_its_encoders_outputs_rates_and_scoring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoders = fresh()["encoders"]
    encoders["scene"]["edgetpu"] = {"model": "twin.tflite", "outputs": ["groups"]}
    encoders["sound"]["pool"] = {"seconds": 4, "of": ["mean", "max"]}
    directory = write_bundle(tmp_path / "bundle", encoders=encoders)
    ones = np.ones((2, SIDE * SIDE), np.float32)
    (directory / "twin.tflite").write_bytes(write_layers([1, SIDE, SIDE, 1], {"groups": ones}, {}))
    assert main(["bundle", "show", str(directory)]) == 0
    shown = capsys.readouterr().out
    assert "scoring     independent\n" in shown
    assert "scene       image by scene.tflite, 2 KB, float32 [1, 4, 4, 1] -> 2 of groups + 3 of embedding, " in shown
    assert "at most 10 pictures a second, kept for 500 ms; for an Edge TPU twin.tflite, without embedding\n" in shown
    assert "-> 1 of level, with mean and max of 4 s, kept for 400 ms\n" in shown
    assert main(["bundle", "show", str(directory), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert "modalities" not in content
    assert list(content["encoders"]) == ["scene", "people", "sound"]
    assert content["encoders"]["scene"]["rate_hz"] == 10
    assert parsed(content) == load_bundle(directory).manifest


def test_a_bundle_of_format_1_is_shown_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = bundle_builder.write_bundle(tmp_path / "bundle")
    assert main(["bundle", "show", str(directory)]) == 0
    shown = capsys.readouterr().out
    assert "scoring" not in shown
    assert "image       image.tflite, 1 KB, float32 [1, 4, 4, 1] -> 2, kept for 500 ms\n" in shown
    assert main(["bundle", "show", str(directory), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content) == [
        "format", "name", "version", "description", "labels", "background", "label_info", "modalities", "head",
        "thresholds", "selftest", "licences", "provenance",
    ]  # fmt: skip
    image = ["model", "edgetpu", "input", "output", "transform", "max_age_ms", "preprocessing"]
    assert list(content["modalities"]["image"]) == image
    assert parsed(content) == load_bundle(directory).manifest


def test_the_preprocessing_of_sound_has_no_kind_in_format_1(capsys: pytest.CaptureFixture[str]) -> None:
    digits = Path(__file__).resolve().parents[2] / "models" / "digits"
    assert main(["bundle", "show", str(digits), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert "kind" not in content["modalities"]["audio"]["preprocessing"]
    assert parsed(content) == load_bundle(digits).manifest
    content["modalities"]["audio"]["preprocessing"]["kind"] = "log_mel"
    with pytest.raises(DocumentError, match=r"modalities\.audio: preprocessing\.kind needs `format: 2`"):
        parsed(content)


def test_the_line_of_an_output_is_that_of_its_key(tmp_path: Path) -> None:
    content = fresh()
    content["encoders"]["sound"]["outputs"]["level"]["scale"] = None
    content["encoders"]["people"]["outputs"]["right"] = {"shape": [1, 7], "dtype": "float32"}
    directory = write_bundle(tmp_path / "bundle", **content)
    lines = (directory / "bundle.yaml").read_text().splitlines()
    line = next(number for number in range(line_of(directory, "right:"), 999) if "shape:" in lines[number - 1])
    assert refusal(directory).startswith(f"DIR/bundle.yaml:{line}: encoders.people.outputs.right.shape: ")


@pytest.mark.parametrize(
    ("content", "requested", "needed"),
    [
        (bundle_builder.manifest(), "0.2.0", "0.2.0"),
        (bundle_builder.manifest() | {"label_info": {"dark": {}}}, "0.2.0", "0.4.0"),
        (fresh(), "0.2.0", "0.5.0"),
        (fresh(), "0.4.9", "0.5.0"),
        (fresh(), "0.5.0", "0.5.0"),
        (fresh() | {"label_info": {"loud": {}}}, "0.4.0", "0.5.0"),
        (fresh(), "0.10.0", "0.10.0"),
    ],
)
def test_versions_that_do_not_read_format_2_are_not_offered_it(content: dict, requested: str, needed: str) -> None:
    assert oldest_perceptd(parsed(content), requested) == needed

"""`perceptd bundle build` makes a whole bundle or none, and says which line of the recipe is wrong."""

import fcntl
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from daemon.bundle.bundle import load_bundle
from daemon.bundle.ml_bom_reader import card_of
from daemon.bundle.model_card import ModelCard
from daemon.cli.bundle_models import models_of
from daemon.cli.main import main
from daemon.core.document import load_document
from daemon.core.errors import EXIT_REFUSED
from daemon.core.sealed import SealedFile
from daemon.recipes.recipe import Recipe
from tests.helpers import hostile_models
from tests.helpers.bill import assert_valid
from tests.helpers.recipes import MODEL, recipe, write_pixels, write_recipe
from tests.shared import SHARED, needs_shared

PIXELS = write_pixels()
OUTPUTS = recipe(PIXELS)["models"][MODEL]["outputs"]


def white_score() -> float:
    """Return the score of `bright` for a white picture, computed from the outputs of the unedited model."""
    scores, anchors = run(PIXELS, np.ones((1, 4, 4, 1), np.float32))
    logit = -1.0 + 2.0 * scores[0, 3:6].max() + 0.5 + anchors.max()
    return float(1 / (1 + np.exp(-logit)))


def run(model: bytes, value: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]


class Builder:
    """Builds the bundle of a recipe from a directory with one model."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.recipe, self.models, self.out = directory / "recipe", directory / "models", directory / "out" / "pixels"
        self.models.mkdir()
        self.capsys = capsys

    def write(self, content: dict[str, Any], model: bytes = PIXELS, score: float | None = None) -> Path:
        (self.models / "any.name").write_bytes(model)
        return write_recipe(self.recipe, content, {"bright": white_score() if score is None else score})

    def build(self, path: Path, *options: str) -> dict[str, Any]:
        code = main(
            ["bundle", "build", str(path), "--out", str(self.out), "--from", str(self.models), "--json", *options]
        )
        printed = self.capsys.readouterr()
        assert code == 0, printed.err
        built: dict[str, Any] = json.loads(printed.out)
        return built

    def refused(self, path: Path, *options: str) -> str:
        code = main(["bundle", "build", str(path), "--out", str(self.out), "--from", str(self.models), *options])
        printed = self.capsys.readouterr()
        assert code == EXIT_REFUSED
        assert not printed.out
        return printed.err

    def left(self) -> list[str]:
        """What lies beside the place of the bundle."""
        return sorted(path.name for path in self.out.parent.glob("*")) if self.out.parent.exists() else []


@pytest.fixture
def builder(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Builder:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Builder(tmp_path, capsys)


def test_a_bundle_is_built_and_tested_and_the_same_each_time(builder: Builder) -> None:
    path = builder.write(recipe(PIXELS))
    (builder.recipe / "LICENCE").write_text("free")
    built = builder.build(path)
    assert (built["name"], built["version"], built["directory"]) == ("pixels", "1.0.0", str(builder.out))
    files = {
        "LICENCE",
        "bundle.yaml",
        "head.tflite",
        MODEL,
        "ml-bom.cdx.json",
        "selftest/cases.yaml",
        "selftest/white.png",
    }
    assert set(built["files"]) == files
    for name, sha256 in built["files"].items():
        file = builder.out / name
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755
    assert [source["licence"] for source in built["sources"]] == ["Apache-2.0"]
    assert (
        load_bundle(builder.out).manifest.provenance["recipe"]
        == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    )
    before = {name: (builder.out / name).read_bytes() for name in files}
    assert main(["bundle", "build", str(path), "--out", str(builder.out), "--from", str(builder.models)]) == 0
    assert builder.capsys.readouterr().out == (
        f"pixels@1.0.0: built in {builder.out}, self-test good\n"
        "licence     pixels: Apache-2.0 (https://models.invalid/)\n"
    )
    assert {name: (builder.out / name).read_bytes() for name in files} == before
    assert builder.left() == ["pixels"]


def test_what_fails_its_selftest_does_not_replace_the_bundle_of_before(builder: Builder) -> None:
    builder.out.mkdir(parents=True)
    (builder.out / "bundle.yaml").write_text("of before")
    path = builder.write(recipe(PIXELS), score=1 - white_score())
    text = builder.refused(path)
    assert (
        f"{path}: the bundle fails its self-test:\n{builder.recipe}/selftest/cases.yaml:2: cases.0: bright scored"
        in text
    )
    assert builder.left() == ["pixels"]
    assert {file.name: file.read_text() for file in builder.out.iterdir()} == {"bundle.yaml": "of before"}


def test_a_head_of_a_file_is_taken(builder: Builder) -> None:
    labels = {"bright": {}, "none": {"background": True}}
    content = {key: value for key, value in recipe(PIXELS, labels=labels).items() if key != "head"}
    weights = np.zeros((2, 2 + 5 + 1 + 1))
    weights[0, 1], weights[0, 7], weights[0, 8] = 2.0, 1.0, 0.5
    np.savez(builder.models / "head.npz", weights=weights, bias=np.array([-1.0, 0.0]))
    path = builder.write(content)
    builder.build(path, "--head", str(builder.models / "head.npz"))
    assert "head" in load_bundle(builder.out).manifest.provenance
    np.savez(builder.models / "head.npz", weights=weights[:, :-1], bias=np.array([-1.0, 0.0]))
    assert "weights has shape (2, 8), expected (2, 9): 2 labels; 8 of eye + 1 present" in builder.refused(
        path, "--head", str(builder.models / "head.npz")
    )
    assert "nothing.npz: No such file" in builder.refused(path, "--head", "nothing.npz")


def test_a_model_may_stay_as_it_is(builder: Builder) -> None:
    layers = hostile_models.Layers()
    same = layers.operator("ABS", [layers.source], layers.tensor("same", hostile_models.FRAME), "AbsOptions")
    model = layers.encoder(same)
    labels = {"bright": {}, "none": {"background": True}}
    content = recipe(model, labels=labels, models={MODEL: {"source": "pixels"}})
    del content["head"]
    np.savez(builder.models / "head.npz", weights=np.zeros((2, 3)), bias=np.zeros(2))
    builder.build(builder.write(content, model, 0.5), "--head", str(builder.models / "head.npz"))
    assert (builder.out / MODEL).read_bytes() == model


GROUPS = {"low": [0], "high": [1, 9]}


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (b"no model at all", {}, ":15: models.pixels.tflite.source: the source pixels: is not a TFLite model"),
        (PIXELS[:700], {}, "models.pixels.tflite.source: the source pixels: is a damaged TFLite model"),
        (
            hostile_models.unresolved(),
            {"as it is": True},
            "the source pixels: needs the operator OpenTheDoor, which is none",
        ),
        (
            hostile_models.split_into_none(),
            {"as it is": True},
            "models: the models cannot be made: its process was ended by",
        ),
        (
            hostile_models.tiled_to_8_gb(),
            {"as it is": True},
            "the source pixels: cannot be loaded: the runtime gives no reason; it may lack memory",
        ),
        (PIXELS, {"as it is": True}, "the source pixels: has 2 outputs; name those to keep under outputs"),
        (
            PIXELS,
            {"models": {MODEL: {"source": "pixels", "outputs": {**OUTPUTS, "groups": {"group": GROUPS}}}}},
            "outputs.groups.group.high: the source pixels: there is no class 9; the model has classes 0 to 5",
        ),
        (
            PIXELS,
            {
                "groups": {"all": GROUPS},
                "models": {MODEL: {"source": "pixels", "outputs": {**OUTPUTS, "groups": {"group": "all"}}}},
            },
            "groups.all.high: the source pixels: there is no class 9; the model has classes 0 to 5",
        ),
        (
            PIXELS,
            {
                "models": {
                    MODEL: {
                        "source": "pixels",
                        "outputs": {**OUTPUTS, "embedding": {"expose": {"operator": "MEAN", "size": 5}}},
                    }
                }
            },
            "outputs.embedding: the source pixels: the model has no MEAN of 5 numbers",
        ),
        (
            PIXELS,
            {"models": {MODEL: {"source": "pixels", "weights": "int8", "outputs": OUTPUTS}}},
            "models.pixels.tflite.source: the source pixels: has no convolution with 16,384 float weights or more",
        ),
    ],
    ids=range(10),
)
def test_a_source_that_cannot_be_used_is_refused(
    builder: Builder, model: bytes, changes: dict[str, Any], words: str
) -> None:
    if changes == {"as it is": True}:
        labels = {"bright": {"evidence": {"eye.output": {}}}, "none": {"background": True}}
        changes = {"models": {MODEL: {"source": "pixels"}}, "labels": labels}
    path = builder.write(recipe(model, **changes), model)
    text = builder.refused(path)
    assert words in text
    assert text.startswith(f"{path}:")
    assert builder.left() == []


def test_only_a_bundle_is_replaced(builder: Builder) -> None:
    path = builder.write(recipe(PIXELS))
    builder.out.mkdir(parents=True)
    builder.build(path)  # an empty directory is no loss
    (builder.out / "bundle.yaml").unlink()
    assert f"{builder.out}: is a directory without bundle.yaml, so no bundle" in builder.refused(path)
    builder.out = builder.models / "any.name"
    assert f"{builder.out}: is not a directory" in builder.refused(path)
    builder.out = builder.recipe.parent / "link"
    builder.out.symlink_to(builder.models)
    assert f"{builder.out}: is not a directory" in builder.refused(path)
    builder.out = builder.recipe
    (builder.recipe / "bundle.yaml").write_text("format: 1")
    assert f"{builder.out}: has {path} in it, which would be lost" in builder.refused(path)
    builder.out = builder.models
    (builder.models / "bundle.yaml").write_text("format: 1")
    assert f"{builder.out}: has {builder.models} in it, which would be lost" in builder.refused(path)
    assert path.exists()


def test_what_a_killed_build_left_is_removed(builder: Builder) -> None:
    builder.out.parent.mkdir()
    kept = ["perceptd-build-foreign", ".perceptd-build-held", ".perceptd-build-link"]
    for name in (*kept[:2], ".perceptd-build-left"):
        (builder.out.parent / name).mkdir()
        (builder.out.parent / name / "scores.tflite").write_bytes(b"")
    (builder.out.parent / kept[2]).symlink_to(kept[0])
    descriptor = os.open(builder.out.parent / kept[1], os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        builder.build(builder.write(recipe(PIXELS)))
    finally:
        os.close(descriptor)
    assert builder.left() == sorted([*kept, "pixels"])


def test_the_selftest_has_a_limit_of_memory(builder: Builder) -> None:
    model = hostile_models.filled_to_8_gb()
    labels = {"bright": {}, "none": {"background": True}}
    content = recipe(model, labels=labels, models={MODEL: {"source": "pixels"}})
    del content["head"]
    np.savez(builder.models / "head.npz", weights=np.zeros((2, 3)), bias=np.zeros(2))
    text = builder.refused(builder.write(content, model), "--head", str(builder.models / "head.npz"))
    assert "cases.0: invoke failed: Node number 5 (FILL) failed to invoke" in text


def test_a_disk_that_is_full_is_told(builder: Builder) -> None:
    loaded = load_document(builder.write(recipe(PIXELS)), Recipe)
    directory = builder.out / "missing"
    with pytest.raises(FileNotFoundError) as caught:
        models_of(loaded, {"pixels": SealedFile(builder.models / "any.name")}, directory)
    assert caught.value.filename == str(directory)


def test_what_lies_beside_the_recipe_is_told(builder: Builder) -> None:
    path = builder.write(recipe(PIXELS))
    (builder.recipe / "selftest" / "cases.yaml").unlink()
    assert f"{builder.recipe}/selftest/cases.yaml: is missing; a bundle needs a self-test" in builder.refused(path)
    assert f"{builder.recipe}/nothing.yaml: cannot be read: No such file" in builder.refused(
        path.with_name("nothing.yaml")
    )
    assert builder.left() == []


@needs_shared
def test_public_encoders_are_made_a_bundle(builder: Builder) -> None:
    """The scores of the bundle are those that numpy computes from the unedited models."""
    builder.models = SHARED / "models"
    public = {"mobilenet_v2": "tf2_mobilenet_v2_1.0_224_ptq.tflite", "pose": "pose_detection.tflite"}
    public |= {"yamnet": "yamnet_spectra_in.tflite", "yamnet_edgetpu": "yamnet_spectra_in_edgetpu.tflite"}
    contents = {name: (builder.models / file).read_bytes() for name, file in public.items()}
    sources = {name: recipe(content)["sources"]["pixels"] for name, content in contents.items()}
    sounds = {"groups": {"group": "sounds"}}
    content = recipe(b"any") | {
        "sources": sources,
        "groups": {"sounds": {"speech": ["0-5"], "dog": [67, {69: "Bark"}]}},
        "models": {
            "scene.tflite": {
                "source": "mobilenet_v2",
                "outputs": {
                    "groups": {"group": {"dog": ["152-269"], "cat": ["282-286"]}},
                    "embedding": {"expose": {"operator": "MEAN", "size": 1280}},
                },
            },
            "people.tflite": {"source": "pose", "outputs": {"person": {"reduce": "max", "of": 1}}},
            "sound.tflite": {
                "source": "yamnet",
                "outputs": sounds | {"embedding": {"expose": {"operator": "MEAN", "size": 1024}}},
            },
            "sound_edgetpu.tflite": {"source": "yamnet_edgetpu", "outputs": sounds},
        },
        "encoders": {
            "scene": {
                "modality": "image",
                "model": "scene.tflite",
                "preprocessing": {"colour": "rgb", "mean": 127.5, "std": 127.5},
                "outputs": {"groups": {"transform": "log"}},
                "max_age_ms": 1500,
                "rate_hz": 2,
            },
            "people": {
                "modality": "image",
                "model": "people.tflite",
                "preprocessing": {"colour": "rgb", "fit": "pad", "mean": 127.5, "std": 127.5},
                "max_age_ms": 1500,
            },
            "sound": {
                "modality": "audio",
                "model": "sound.tflite",
                "edgetpu": {"model": "sound_edgetpu.tflite"},
                "preprocessing": {
                    "sample_rate_hz": 16000,
                    "window_samples": 400,
                    "hop_samples": 160,
                    "fft_size": 512,
                    "mel_bands": 64,
                    "mel_low_hz": 125,
                    "mel_high_hz": 7500,
                    "frames": 96,
                    "stride_frames": 48,
                },
                "outputs": {"groups": {"transform": "log"}},
                "max_age_ms": 1500,
            },
        },
        "labels": {
            "dog": {"bias": 1.0, "evidence": {"scene.dog": {"weight": 0.3, "offset": 0.5}, "sound.dog": {}}},
            "person": {"evidence": {"people.person": {"weight": 0.7}}},
            "none": {"background": True},
        },
    }
    scene = run(contents["mobilenet_v2"], np.full((1, 224, 224, 3), 254, np.uint8))[0][0, 152:270].max() / 256
    people = run(contents["pose"], np.ones((1, 224, 224, 3), np.float32))[1].max()
    logits = {"dog": 1.0 + 0.3 * np.log(max(scene, 1e-6)) + 0.5, "person": 0.7 * people}
    expected = {label: float(1 / (1 + np.exp(-logit))) for label, logit in logits.items()}
    path = write_recipe(builder.recipe, content | {"selftest": {"tolerance": 0.02}}, expected)
    builder.build(path)
    manifest = load_bundle(builder.out).manifest
    sound = manifest.encoder_specs["sound"]
    assert sound.edgetpu is not None
    assert (sound.edgetpu.outputs, sound.size) == (["groups"], 2 + 1024)
    assert len(manifest.licences) == 4


@needs_shared
def test_an_operator_that_the_runtime_lacks_is_named(builder: Builder) -> None:
    model = (SHARED / "models" / "model_invoking_error.tflite").read_bytes()
    labels = {"bright": {"evidence": {"eye.output": {}}}, "none": {"background": True}}
    path = builder.write(recipe(model, models={MODEL: {"source": "pixels"}}, labels=labels), model)
    assert "the source pixels: needs the operator fake-op-double, which is none of TFLite's own" in builder.refused(
        path
    )


def test_the_card_beside_a_recipe_goes_into_the_ml_bom_and_changes_nothing_else(builder: Builder) -> None:
    path = builder.write(recipe(PIXELS))
    before = builder.build(path)["files"]
    (builder.recipe / "card.yaml").write_text("purpose: counts pixels\n")
    after = builder.build(path)["files"]
    assert {name for name in after if after[name] != before[name]} == {"ml-bom.cdx.json"}
    content = (builder.out / "ml-bom.cdx.json").read_bytes()
    assert_valid(content)
    assert card_of(content) == ModelCard(purpose="counts pixels")
    (builder.recipe / "card.yaml").write_text("purposes: counts pixels\n")
    assert "card.yaml:1: purposes" in builder.refused(path)

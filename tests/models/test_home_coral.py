"""home-coral, as far as a machine without an Edge TPU can test it."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from ai_edge_litert import schema_py_generated as schema
from home_coral import CORAL, HOME, texts

from daemon.bundle.bundle import Bundle, load_bundle, load_cases
from daemon.cli.bundle_build import build_bundle
from daemon.config.devices import DevicesConfig
from daemon.inference.hardware import EdgeTpu
from daemon.inference.model_file import input_spec, operator_name, output_spec, read_model
from daemon.inference.placement import Machine
from daemon.node.accelerator_health import accelerator_health, encoder_health
from daemon.pipeline.acceleration import accelerate, needed_outputs, placements_of
from daemon.pipeline.offline import OfflineRecogniser, item_of
from daemon.pipeline.recogniser import load_recogniser
from tests.shared import SHARED, needs_shared

pytestmark = pytest.mark.xdist_group("home-coral")  # one process builds the bundle

# not there: this machine has no such device
CORAL_USB = Machine((EdgeTpu("usb:0", Path("/dev/bus/usb/001/004"), "18d1:9302"),))
COMPILED = {"sound": "yamnet_spectra_in_edgetpu", "scene": "mobilenet_v1_1.0_224_quant_embedding_extractor_edgetpu"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    directory = tmp_path_factory.mktemp("bundles") / "home-coral"
    build_bundle(CORAL, directory, SHARED / "models", None, print)
    return load_bundle(directory)


def compiled_part(model: schema.ModelT) -> schema.OperatorT:
    (operator,) = [one for one in model.subgraphs[0].operators if operator_name(model, one) == "edgetpu-custom-op"]
    return operator


def constant(model: schema.ModelT, name: bytes) -> np.ndarray:
    (tensor,) = [tensor for tensor in model.subgraphs[0].tensors if tensor.name == name]
    return model.buffers[tensor.buffer].data


def model_of(path: Path) -> schema.ModelT:
    return read_model(path.read_bytes())


def test_the_recipe_is_that_of_home_for_what_is_heard() -> None:
    home = yaml.safe_load(HOME.read_text(encoding="utf-8"))
    for path, text in texts().items():
        assert path.read_text(encoding="utf-8") == text, "run `cd scripts && python -m home_coral`"
    labels = yaml.safe_load(CORAL.read_text(encoding="utf-8"))["labels"]
    assert set(home["labels"]) - set(labels) == {"person", "bicycle"}
    heard = [key for about in labels.values() for key in about.get("evidence", {})]
    assert {re.sub(r"\..*", "", key) for key in heard} == {"sound"}


@needs_shared
@pytest.mark.parametrize("encoder", COMPILED)
def test_what_the_edge_tpu_runs_is_as_it_was_compiled(bundle: Bundle, encoder: str) -> None:
    source = SHARED / "models" / f"{COMPILED[encoder]}.tflite"
    edited = bundle.file(bundle.manifest.encoder_specs[encoder].edgetpu.model)
    parts = [bytes(compiled_part(model_of(path)).customOptions) for path in (source, edited)]
    assert parts[0] == parts[1]
    # libedgetpu reads this part where it lies
    for path, part in zip((source, edited), parts, strict=True):
        assert path.read_bytes().index(part) % 16 == 0
    spec, model = bundle.manifest.encoder_specs[encoder], model_of(edited)
    assert input_spec(model) == spec.input
    shapes = [output_spec(model, position).shape for position in range(len(model.subgraphs[0].outputs))]
    assert shapes == [output.shape for output in spec.edgetpu_outputs.values()]


@needs_shared
def test_the_cpu_groups_the_scores_of_the_edge_tpu(bundle: Bundle) -> None:
    cpu, compiled = (model_of(bundle.file(name)) for name in ("sound.tflite", "sound_edgetpu.tflite"))
    names = [operator_name(compiled, operator) for operator in compiled.subgraphs[0].operators]
    assert names == ["QUANTIZE", "edgetpu-custom-op", "DEQUANTIZE", "GATHER", "REDUCE_MAX"]
    assert output_spec(compiled, 0) == output_spec(cpu, 0)
    tables = [constant(model, b"groups_classes") for model in (cpu, compiled)]
    assert np.array_equal(*tables)


@needs_shared
def test_an_edge_tpu_gets_both_encoders_and_lacks_the_embedding_of_sound(bundle: Bundle) -> None:
    needed = needed_outputs(bundle)
    assert needed == {"sound": [], "scene": []}
    placements = placements_of(bundle.manifest.encoder_specs, DevicesConfig(), CORAL_USB, needed)
    assert {place.device.name for place in placements.values() if place.device} == {"edgetpu:usb:0"}
    assert {name: place.absent_outputs for name, place in placements.items()} == {"sound": ("embedding",), "scene": ()}
    told = encoder_health(placements["sound"], {})
    assert told.absent_outputs == ["embedding"]
    assert told.reason == "the model for an Edge TPU lacks the output embedding; zeros stand in its place"
    taught = placements_of(bundle.manifest.encoder_specs, DevicesConfig(), CORAL_USB, {"sound": ["embedding"]})
    assert taught["sound"].device is None
    assert taught["scene"].device is not None


@needs_shared
def test_without_the_edge_tpu_the_cpu_gives_the_same_scores(bundle: Bundle) -> None:
    moved = accelerate(load_recogniser(bundle), DevicesConfig(), CORAL_USB)
    (accelerator,) = moved.accelerators
    for case, _ in load_cases(bundle):
        item = item_of(bundle, case)
        on_cpu, fallen_back = (OfflineRecogniser(one).recognise(item) for one in (load_recogniser(bundle), moved))
        assert np.array_equal(on_cpu.scores, fallen_back.scores)
        assert {embedding.device for embedding in fallen_back.moment.embeddings.values()} == {"cpu"}
    assert encoder_health(moved.placements["sound"], {"edgetpu:usb:0": accelerator_health(accelerator)}).device == "cpu"

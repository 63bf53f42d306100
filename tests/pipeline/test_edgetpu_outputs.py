"""A model for an Edge TPU that lacks outputs runs there, with zeros for them, unless the head uses one of them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from daemon.bundle.bundle import load_bundle
from daemon.bundle.encoder_specs import PoolSpec
from daemon.config.devices import DelegateConfig, DevicesConfig
from daemon.core.records import Frame
from daemon.inference.graphs import write_head
from daemon.inference.placement import Machine
from daemon.node.accelerator_health import accelerator_health, encoder_health
from daemon.pipeline.acceleration import accelerate, needed_outputs
from daemon.pipeline.head_use import used_outputs
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from tests.fakes.models import PlainHead
from tests.helpers.format2_bundle import LABELS, SIDE, SIZES, manifest, picture, weights, write_bundle, write_layers
from tests.helpers.mosquitto import wait_until

# the columns of F that belong to scene's second output
EMBEDDING = slice(2, 5)


def twin_bundle(directory: Path, embedding_weight: float = 0.0) -> Path:
    """Write a bundle whose model of `scene` for an Edge TPU has the first of its two outputs only."""
    encoders = manifest()["encoders"]
    encoders["scene"]["edgetpu"] = {"model": "twin.tflite", "outputs": ["groups"]}
    write_bundle(directory, encoders=encoders)
    ones = np.ones(SIDE * SIDE, np.float32) / SIDE**2
    (directory / "twin.tflite").write_bytes(write_layers([1, SIDE, SIDE, 1], {"groups": np.stack([ones, -ones])}, {}))
    matrix, bias = weights()
    matrix[1, EMBEDDING] = embedding_weight
    head = write_head(matrix, bias, list(SIZES.values()), "independent", LABELS.index("none"))
    (directory / "head.tflite").write_bytes(head)
    return directory


@pytest.fixture
def edgetpu_library(tmp_path: Path, delegate: Path) -> Path:
    """The tests' delegate under the name of libedgetpu, for which encoders have models of their own."""
    return Path(shutil.copy(delegate, tmp_path / "libedgetpu.so.1"))


def placed(bundle: Path, devices: DevicesConfig) -> Recogniser:
    return accelerate(load_recogniser(load_bundle(bundle)), devices, Machine())


def test_an_absent_output_is_zeros_and_health_tells_it(tmp_path: Path, edgetpu_library: Path) -> None:
    devices = DevicesConfig(default="cpu", image=DelegateConfig(library=str(edgetpu_library)))
    recogniser = placed(twin_bundle(tmp_path / "bundle"), devices)
    (accelerator,) = recogniser.accelerators
    assert [model.file.source.name for model in accelerator.models] == ["twin.tflite", "people.tflite"]
    frame = Frame((picture(left=255, right=200),), 5)
    accelerator.start()
    try:
        wait_until(lambda: accelerator.status.state != "starting", "it is settled")
        assert accelerator.status.state == "in_use", accelerator.status
        embedding = recogniser.encoders["scene"].encode(frame)
        told = encoder_health(recogniser.placements["scene"], {embedding.device: accelerator_health(accelerator)})
        other = encoder_health(recogniser.placements["people"], {embedding.device: accelerator_health(accelerator)})
    finally:
        assert accelerator.close(10)
    assert embedding.device == told.device == told.wanted == "libedgetpu.so.1"
    assert embedding.vector[:2].all()
    assert embedding.vector[EMBEDDING].tolist() == [0, 0, 0]
    assert told.absent_outputs == ["embedding"]
    assert told.reason == "the model for an Edge TPU lacks the output embedding; zeros stand in its place"
    assert (other.absent_outputs, other.reason) == ([], None)
    on_cpu = recogniser.encoders["scene"].encode(Frame((picture(left=250, right=0),), 6))
    assert on_cpu.device == "cpu" and on_cpu.vector[EMBEDDING].any(), "which gives all outputs"
    told = encoder_health(recogniser.placements["scene"], {"libedgetpu.so.1": accelerator_health(accelerator)})
    assert (told.device, told.absent_outputs) == ("cpu", [])


@pytest.mark.parametrize("devices", [DevicesConfig(image="edgetpu"), DevicesConfig(image="edgetpu:usb:0"), None])
def test_an_encoder_whose_absent_output_the_head_uses_runs_on_the_cpu(
    tmp_path: Path, edgetpu_library: Path, devices: DevicesConfig | None
) -> None:
    devices = devices or DevicesConfig(image=DelegateConfig(library=str(edgetpu_library)))
    recogniser = placed(twin_bundle(tmp_path / "bundle", embedding_weight=1e-6), devices)
    reason = "the head uses the output embedding, which the model for an Edge TPU lacks"
    placement = recogniser.placements["scene"]
    assert (placement.device, placement.reason, placement.absent_outputs) == (None, reason, ())
    assert encoder_health(placement, {}).reason == reason
    assert f"scene runs on the CPU: {reason}" in recogniser.cpu_remarks
    assert all(verifier.encoder != "scene" for one in recogniser.accelerators for verifier in one.verifiers)


def test_what_the_head_does_not_use_keeps_no_encoder_from_an_edge_tpu(tmp_path: Path) -> None:
    bundle = load_bundle(twin_bundle(tmp_path / "bundle"))
    assert needed_outputs(bundle) == {"scene": [], "people": [], "sound": []}


@pytest.mark.parametrize(
    ("columns", "used"),
    [
        ([], {"scene": [], "people": [], "sound": []}),
        ([0], {"scene": ["groups"], "people": [], "sound": []}),
        ([4], {"scene": ["embedding"], "people": [], "sound": []}),
        ([6], {"scene": ["groups"], "people": [], "sound": []}),  # the mean of a group
        ([12], {"scene": ["embedding"], "people": [], "sound": []}),  # the highest of the embedding
        ([16], {"scene": [], "people": ["right"], "sound": []}),
        ([17], {"scene": [], "people": [], "sound": ["level"]}),
        ([18, 19, 20], {"scene": [], "people": [], "sound": []}),  # the present entries
        (list(range(21)), {"scene": ["groups", "embedding"], "people": ["left", "right"], "sound": ["level"]}),
    ],
)
def test_the_outputs_that_a_head_uses(tmp_path: Path, columns: list[int], used: dict[str, list[str]]) -> None:
    specs = load_bundle(write_bundle(tmp_path / "bundle")).manifest.encoder_specs
    specs["scene"] = specs["scene"].model_copy(update={"pool": PoolSpec(seconds=4, of=["mean", "max"])})
    sizes = [spec.size for spec in specs.values()]
    assert sizes == [15, 2, 1]
    matrix = np.zeros((3, sum(sizes) + 3), np.float32)
    matrix[1, columns] = 1e-3
    assert used_outputs([PlainHead(matrix, np.array([3, 2, 1], np.float32), sizes)], specs) == used


def test_weights_that_cancel_each_other_are_used(tmp_path: Path) -> None:
    specs = load_bundle(write_bundle(tmp_path / "bundle")).manifest.encoder_specs
    matrix = np.zeros((2, 11), np.float32)
    matrix[0, 0:2] = 1, -1
    assert used_outputs([PlainHead(matrix, np.zeros(2), [5, 2, 1])], specs)["scene"] == ["groups"]


def test_every_encoder_of_pictures_on_the_cpu_has_as_many_workers(tmp_path: Path) -> None:
    recogniser = placed(write_bundle(tmp_path / "bundle"), DevicesConfig(image_workers=3))
    parallel = recogniser.parallel_encoders
    assert {name: len(crew) for name, crew in parallel.items()} == {"scene": 3, "people": 3, "sound": 1}
    assert {encoder.name for encoder in parallel["people"]} == {"people"}
    frame = Frame((picture(left=255, right=0),), 5)
    assert len({tuple(encoder.encode(frame).vector) for encoder in parallel["people"]}) == 1


def test_each_encoder_is_verified_with_the_self_tests_inputs_of_its_sense(tmp_path: Path) -> None:
    recogniser = placed(write_bundle(tmp_path / "bundle"), DevicesConfig(default=DelegateConfig(library="libx.so")))
    (accelerator,) = recogniser.accelerators
    # two pictures and one sound in the cases, and noise
    assert [len(verifier._tests) for verifier in accelerator.verifiers] == [3, 3, 2]
    assert [verifier.encoder for verifier in accelerator.verifiers] == ["scene", "people", "sound"]

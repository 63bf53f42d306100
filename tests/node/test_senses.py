"""A node loads the encoders of the senses that its streams have, and no others."""

import json
import threading
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.devices import DevicesConfig
from daemon.config.node import Config, load_config
from daemon.core.document import Loaded
from daemon.core.records import MODALITIES, Block, Counters, Modality
from daemon.doctor.accelerators import accelerator_findings
from daemon.inference.placement import Machine
from daemon.node.bundle_updates import BundleLoader
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.encode import EncoderPool
from daemon.pipeline.ordered import OrderedFlow
from daemon.pipeline.preparation import Preparation, encoder_counters
from daemon.pipeline.recogniser import load_recogniser
from tests.helpers.format2_bundle import RATE_HZ, noise, write_bundle
from tests.pipeline.test_several_encoders import FUSION, EventsConfig, Published

MUTE = {"text": {"enabled": False}}
CAMERA, MICROPHONE, INLET = {"camera": 0, **MUTE}, {"microphone": "default", **MUTE}, {"text": {"enabled": True}}
FILES: dict[str, list[str]] = {
    "image": ["people.tflite", "scene.tflite"],
    "audio": ["sound.tflite"],
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "corner")


def config_of(directory: Path, bundle: Path, *streams: dict) -> Loaded[Config]:
    path = directory / "config.yaml"
    named = {f"s{number}": stream for number, stream in enumerate(streams)}
    path.write_text(json.dumps({"node": "n", "bundle": str(bundle), "streams": named}))  # YAML without aliases
    return load_config(path)


@pytest.mark.parametrize(
    ("streams", "senses"),
    [
        ([CAMERA], {"image"}),
        ([MICROPHONE], {"audio"}),
        ([INLET], {"text"}),
        ([CAMERA, MICROPHONE], {"image", "audio"}),
        ([{"camera": "rtsp://c/1", "microphone": "camera"}], {"image", "audio", "text"}),
        ([{"replay": {"file": "a.mkv"}, **MUTE}], {"image", "audio"}),
        ([{"replay": {"file": "a.mkv", "text": "a.txt"}, **MUTE}], {"image", "audio", "text"}),
    ],
)
def test_a_node_has_the_senses_of_its_streams(
    tmp_path: Path, bundle: Path, streams: list[dict], senses: set[Modality]
) -> None:
    assert config_of(tmp_path, bundle, *streams).document.senses == senses


@pytest.mark.parametrize(("stream", "sense"), [(CAMERA, "image"), (MICROPHONE, "audio")])
def test_models_of_other_senses_are_not_loaded(tmp_path: Path, bundle: Path, stream: dict, sense: str) -> None:
    recogniser = BundleLoader(config_of(tmp_path, bundle, stream)).load(bundle)
    names = [name for name, modality in recogniser.bundle.manifest.encoder_modalities.items() if modality == sense]
    assert list(recogniser.encoders) == list(recogniser.models) == list(recogniser.placements) == names
    assert sorted(recogniser.bundle.hashes) == sorted(["bundle.yaml", "head.tflite", *FILES[sense]])


def test_what_is_not_loaded_has_no_workers_and_no_remark(bundle: Path) -> None:
    devices = DevicesConfig(default="edgetpu", image_workers=3)
    recogniser = accelerate(load_recogniser(load_bundle(bundle), {"audio"}), devices, Machine())
    assert {name: len(alike) for name, alike in recogniser.parallel_encoders.items()} == {"sound": 1}
    (remark,) = recogniser.cpu_remarks
    assert remark.startswith("sound runs on the CPU: ")
    (finding,) = accelerator_findings(devices, recogniser.bundle, {"audio"})
    assert finding.found.startswith("the CPU runs sound: ")


def test_the_head_recognises_what_one_sense_delivers(bundle: Path) -> None:
    recogniser, published = load_recogniser(load_bundle(bundle), {"audio"}), Published()
    manifest = recogniser.bundle.manifest
    counters = encoder_counters(manifest.encoder_modalities, {modality: Counters() for modality in MODALITIES})
    encoders = EncoderPool(recogniser.parallel_encoders, manifest.encoder_modalities)
    encoders.start()
    fusion = recogniser.new_fusion(recogniser.new_head(), "s", FUSION, EventsConfig(smoothing_s=0.1, min_duration_s=0))
    preparation = Preparation(manifest, counters)
    flow = OrderedFlow("s", preparation, encoders, fusion, published.publish, counters, threading.Event())
    for number in range(100):
        flow.deliver(Block(noise(0.02), RATE_HZ, number * 20_000_000))
    flow.finish()
    encoders.close(5)
    assert {names for _, names, _ in published.moments} == {("sound",)}
    assert published.events == [("start", "loud", None), ("end", "loud", "absent")]

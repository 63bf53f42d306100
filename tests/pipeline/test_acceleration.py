"""The config decides which devices run a bundle's encoders."""

from pathlib import Path

import pytest
import yaml

from daemon.bundle.bundle import load_bundle
from daemon.config.devices import DelegateConfig, DevicesConfig
from daemon.config.node import load_config
from daemon.core.errors import BundleError, DocumentError
from daemon.inference.placement import Machine
from daemon.pipeline.acceleration import accelerate
from daemon.pipeline.recogniser import Recogniser, load_recogniser
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT

DIGITS = ROOT / "models" / "digits"


def placed(devices: DevicesConfig, bundle: Path = DIGITS) -> Recogniser:
    return accelerate(load_recogniser(load_bundle(bundle)), devices, Machine())


def test_encoders_on_one_device_share_one_process() -> None:
    recogniser = placed(DevicesConfig(default=DelegateConfig(library="libx.so")))
    assert [[verifier.encoder for verifier in one.verifiers] for one in recogniser.accelerators] == [
        ["image", "audio", "text"]
    ]
    assert {place.requested for place in recogniser.placements.values()} == {"libx.so"}


def test_pictures_have_several_encoders_on_the_cpu_and_one_on_an_accelerator(caplog: pytest.LogCaptureFixture) -> None:
    parallel_encoders = placed(DevicesConfig(image_workers=3)).parallel_encoders
    assert {modality: len(crew) for modality, crew in parallel_encoders.items()} == {"image": 3, "audio": 1, "text": 1}
    assert len(set(map(id, parallel_encoders["image"]))) == 3
    assert not caplog.records
    away = placed(DevicesConfig(image=DelegateConfig(library="libx.so"), image_workers=3))
    assert len(away.parallel_encoders["image"]) == 1
    assert "devices.image_workers is ignored: libx.so takes one picture at a time" in caplog.text


def test_no_two_devices_have_the_same_name() -> None:
    ways = [DelegateConfig(library=library, options=options) for library, options in (
        ("/a/libx.so", {}), ("/b/libx.so", {}), ("/a/libx.so", {"n": "1"}))]  # fmt: skip
    recogniser = placed(DevicesConfig(image=ways[0], audio=ways[1], text=ways[2]))
    names = [accelerator.device.name for accelerator in recogniser.accelerators]
    assert names == ["libx.so", "libx.so#2", "libx.so#3"]
    assert recogniser.placements["text"].device == recogniser.accelerators[2].device


def test_an_edge_tpus_library_by_its_path_runs_the_models_compiled_for_it(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest["modalities"]["image"]["edgetpu"] = "twin.tflite"
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    (bundle / "twin.tflite").write_bytes((bundle / "image.tflite").read_bytes())
    for library, file in (("/usr/lib/libedgetpu.so.1.0", "twin.tflite"), ("/usr/lib/libx.so", "image.tflite")):
        (accelerator,) = placed(DevicesConfig(image=DelegateConfig(library=library)), bundle).accelerators
        assert accelerator.models[0].file.source.name == file


def test_an_unreadable_case_of_the_selftest_is_refused_with_file_and_line(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "selftest" / "white.png").write_bytes(b"no picture")
    with pytest.raises(BundleError, match=r"cases\.yaml:2: cases\.0: .*white\.png: not a picture"):
        placed(DevicesConfig(image=DelegateConfig(library="libx.so")), bundle)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{default: tpu}", "devices.default = 'tpu': expected auto, cpu, edgetpu, edgetpu:usb, edgetpu:pci:0, gpu, or"),
        ("{image: edgetpu:usb:00}", "devices.image = 'edgetpu:usb:00': expected auto, cpu"),
        ("{image: {libary: x}}", "devices.image.libary: unknown key; did you mean 'library'?"),
        ("{audio: 3}", "devices.audio = 3: expected a valid string"),
        ("{text: {library: x, options: {a: [1]}}}", "devices.text.options.a = [1]: expected a valid string"),
        ("{check_every_s: -1}", "devices.check_every_s = -1: expected greater than or equal to 0"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, written: str, problem: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"node: n\nbundle: b\nstreams: {{s: {{}}}}\ndevices: {written}\n")
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    assert any(line.startswith(f"{path}:4: {problem}") for line in caught.value.problems), caught.value.problems


def test_libraries_are_found_beside_the_config_and_options_are_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    devices = "{default: {library: ./libx.so, options: {n: 1, fast: yes}}, gpu_delegate: {library: libgpu.so}}"
    path.write_text(f"node: n\nbundle: b\nstreams: {{s: {{}}}}\ndevices: {devices}\n")
    loaded = load_config(path).document.devices
    assert loaded.of("image") == DelegateConfig(library=str(tmp_path / "libx.so"), options={"n": "1", "fast": "true"})
    assert loaded.gpu_delegate == DelegateConfig(library="libgpu.so")

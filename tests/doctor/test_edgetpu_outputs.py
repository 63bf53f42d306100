"""The doctor tells which outputs an Edge TPU does not give, and which encoders stay on the CPU for that."""

import shutil
from pathlib import Path

import pytest

from daemon.bundle.bundle import load_bundle
from daemon.config.devices import DelegateConfig, DevicesConfig
from daemon.doctor.accelerators import AcceleratorRun, EncoderCounts, accelerator_findings, assess_run
from daemon.doctor.libraries import LITERT, Installed
from daemon.inference.accelerator_status import StatusChange
from daemon.inference.placement import Device
from tests.pipeline.test_edgetpu_outputs import twin_bundle

HAVE = Installed((3, 11, 2), "2.1.0", LITERT, "2.3.0")


def test_times_name_the_encoder_where_a_sense_may_have_several() -> None:
    counts = [
        EncoderCounts("scene", "image", on_accelerator=5, p50_ns=2_900_000),
        EncoderCounts("people", "image", on_accelerator=5, p50_ns=4_000_000),
        EncoderCounts("audio", "audio", on_accelerator=5, p50_ns=1_000_000),
    ]
    run = AcceleratorRun(Device("gpu", "gpu"), [StatusChange(2, "in_use", None, None)], counts, 0.4)
    expected = "passed in 400 ms; 2.9 ms a picture by scene, 4.0 ms a picture by people, 1.0 ms a patch of sound"
    assert assess_run(run, HAVE).found == expected


def test_an_output_that_the_head_does_not_use_may_be_absent(tmp_path: Path, delegate: Path) -> None:
    library = shutil.copy(delegate, tmp_path / "libedgetpu.so.1")
    devices = DevicesConfig(default="cpu", image=DelegateConfig(library=str(library)))
    absent, run = accelerator_findings(devices, load_bundle(twin_bundle(tmp_path / "bundle")))
    assert (absent.check, absent.level, absent.remedy) == ("device libedgetpu.so.1", "good", None)
    assert absent.found == "scene: the model for an Edge TPU lacks the output embedding; zeros stand in its place"
    assert (run.check, run.level) == ("self-test libedgetpu.so.1", "good"), run


@pytest.mark.parametrize("choice", ["edgetpu", "edgetpu:usb:0"])
def test_an_encoder_whose_absent_output_the_head_uses_is_told_with_the_reason(tmp_path: Path, choice: str) -> None:
    bundle = twin_bundle(tmp_path / "bundle", embedding_weight=0.1)
    uses, lacks = accelerator_findings(DevicesConfig(default="cpu", image=choice), load_bundle(bundle))
    assert (uses.check, uses.level) == (f"device {choice}", "warning")
    assert uses.found == (
        "the CPU runs scene: the head uses the output embedding, which the model for an Edge TPU lacks"
    )
    assert "use a bundle made for an Edge TPU, or set devices to cpu" in (uses.remedy or "")
    assert lacks.found.startswith("the CPU runs people: the bundle has no model of this encoder")


def test_a_head_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    bundle = twin_bundle(tmp_path / "bundle")
    (bundle / "head.tflite").write_bytes(b"no model")
    (finding,) = accelerator_findings(DevicesConfig(image="edgetpu"), load_bundle(bundle))
    assert (finding.check, finding.level) == ("devices", "warning")
    assert "head.model: " in finding.found and "cannot be loaded" in finding.found

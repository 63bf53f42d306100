"""The self-test on accelerators: tables, and runs on a real delegate that fails on request."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from daemon.bundle.bundle import Bundle, load_bundle
from daemon.config.devices import DelegateConfig, DevicesConfig
from daemon.config.node import Config
from daemon.doctor import accelerators as doctor_devices
from daemon.doctor import node as doctor_node
from daemon.doctor.accelerator_run import AcceleratorRun, EncoderCounts, assess_run
from daemon.doctor.accelerators import accelerator_findings, cpu_placements
from daemon.doctor.finding import Finding
from daemon.doctor.libraries import LITERT, Installed
from daemon.inference.accelerator_status import StatusChange
from daemon.inference.hardware import EdgeTpu
from daemon.inference.placement import Device, Machine, Placement, edgetpu
from tests.doctor.test_report import found, written
from tests.helpers import libraries
from tests.helpers.accelerators import delegate_config
from tests.helpers.bundle_builder import write_bundle
from tests.helpers.daemon import ROOT
from tests.helpers.mosquitto import Mosquitto
from tests.node.test_shipped import shipped

HAVE = Installed((3, 11, 2), "2.1.0", LITERT, "2.3.0")
LIBRARY = Device("libown.so", "delegate", "/opt/libown.so")
GPU = Device("gpu", "gpu")
TWO_WAYS = Device("gpu", "gpu", alternative=Device("gpu", "delegate", "/opt/libgl.so"))
USED = StatusChange(2, "in_use", None, None)
NO_GPU = StatusChange(1, "failed", "refused", "the runtime's own GPU accelerator does not work here: no OpenCL")
CRASHED = StatusChange(3, "failed", "died", "its process was ended by SIGSEGV", "SIGSEGV")
CRASHED_AT_LOAD = StatusChange(1, "failed", "refused", "its process was ended by SIGABRT", "SIGABRT")
HUNG = StatusChange(3, "failed", "hung", "no answer within 2 s")
ABSENT = StatusChange(1, "absent", None, "there is no Edge TPU usb:0: none is plugged in")
RAN = EncoderCounts("image", "image", on_accelerator=5, p50_ns=2_900_000)

# invokes of the verification: three known answers for sound and four for text, and sixteen more of each
# the delegate takes fully connected layers only, of which the picture model has none
VERIFICATION_INVOKES = 39


@pytest.mark.parametrize(
    ("run", "level", "text", "remedy"),
    [
        (AcceleratorRun(LIBRARY, [USED], [RAN], 0.41), "good", "passed in 410 ms; 2.9 ms a picture", None),
        (
            AcceleratorRun(TWO_WAYS, [NO_GPU, USED], [RAN], 0.41),
            "good",
            "passed in 410 ms; 2.9 ms a picture; the runtime's own GPU accelerator does not work here: no OpenCL",
            None,
        ),
        (
            AcceleratorRun(LIBRARY, [USED, CRASHED], [RAN]),
            "warning",
            "/opt/libown.so crashed: SIGSEGV",
            "than ai-edge-litert 2.3.0",
        ),
        (
            AcceleratorRun(LIBRARY, [CRASHED_AT_LOAD], []),
            "warning",
            "/opt/libown.so crashed: SIGABRT",
            "install one that fits",
        ),
        (
            AcceleratorRun(edgetpu("usb:0"), [CRASHED], []),
            "warning",
            "libedgetpu.so.1 crashed: SIGSEGV",
            "libedgetpu1-std",
        ),
        (
            AcceleratorRun(edgetpu("usb:0"), [ABSENT], []),
            "warning",
            "there is no Edge TPU usb:0: none is",
            "plug it in, or set",
        ),
        (
            AcceleratorRun(GPU, [NO_GPU], []),
            "warning",
            "the runtime's own GPU accelerator does not work here",
            "gpu_delegate",
        ),
        (
            AcceleratorRun(TWO_WAYS, [NO_GPU, CRASHED_AT_LOAD], []),
            "warning",
            "the runtime's own GPU accelerator does not work here: no OpenCL; /opt/libgl.so crashed: SIGABRT",
            "install one that fits",
        ),
        (
            AcceleratorRun(TWO_WAYS, [NO_GPU, USED, CRASHED], [RAN]),
            "warning",
            "the runtime's own GPU accelerator does not work here: no OpenCL; /opt/libgl.so crashed: SIGSEGV",
            "install one that fits",
        ),
        (
            AcceleratorRun(TWO_WAYS, [USED, CRASHED], [RAN]),
            "warning",
            "GPU accelerator crashed: SIGSEGV",
            "one that fits",
        ),
        (
            AcceleratorRun(LIBRARY, [USED, StatusChange(3, "failed", "hung", "gave no answer within 20 ms")], [RAN]),
            "warning",
            "/opt/libown.so: gave no answer within 20 ms",
            "power supply",
        ),
        (
            AcceleratorRun(LIBRARY, [USED], [RAN], failures=["a", "b", "c", "d"]),
            "warning",
            "a; b; c and 1 more",
            "update its library",
        ),
        (
            AcceleratorRun(LIBRARY, [USED], [EncoderCounts("image", "image", 3, 1)]),
            "warning",
            "image: the CPU computed 1 of 4",
            "used by another program",
        ),
        (
            AcceleratorRun(LIBRARY, [USED], [EncoderCounts("text", "text")]),
            "warning",
            "the self-test has no line of text",
            "cases.yaml",
        ),
        (AcceleratorRun(edgetpu("usb:0"), [HUNG], [RAN]), "warning", "no answer", "plug it in again or reboot, and"),
        (AcceleratorRun(edgetpu("pci:0"), [HUNG], [RAN]), "warning", "no answer", "reboot, and check its power"),
        (AcceleratorRun(GPU, [HUNG], [RAN], is_closed=False), "warning", "cannot be ended", "reboot, or set"),
        (AcceleratorRun(LIBRARY, [], []), "warning", "neither works nor fails", "devices to cpu"),
        (
            AcceleratorRun(LIBRARY, [USED, CRASHED], [RAN], is_closed=False),
            "warning",
            "cannot be ended (/opt/libown.so crashed: SIGSEGV)",
            "reboot",
        ),
    ],
)
def test_runs(run: AcceleratorRun, level: str, text: str, remedy: str | None) -> None:
    finding = assess_run(run, HAVE)
    assert (finding.check, finding.level) == (f"self-test {run.device.name}", level)
    assert text in finding.found
    assert (finding.remedy is None) if remedy is None else (remedy in (finding.remedy or ""))
    is_fixed = run.device.kind == "gpu" or run.device == edgetpu("pci:0")
    assert not (is_fixed and "plug it in" in (finding.remedy or ""))


def test_encoders_that_stay_on_the_cpu() -> None:
    unasked = Placement("auto", reason="there is an Edge TPU, but the bundle has no model compiled for it")
    asked = Placement("edgetpu", reason="the bundle has no model of this encoder")
    named, unnamed = cpu_placements({"image": asked, "audio": unasked, "text": asked})
    assert (named.check, named.level) == ("device edgetpu", "warning")
    assert named.found == "the CPU runs image, text: the bundle has no model of this encoder"
    assert "set devices to cpu" in (named.remedy or "")
    assert (unnamed.level, unnamed.remedy) == ("good", None)
    assert unnamed.found == "the CPU runs audio: there is an Edge TPU, but the bundle has no model compiled for it"
    assert list(cpu_placements({"image": Placement("cpu"), "audio": Placement("gpu", GPU)})) == []


DIGITS = load_bundle(ROOT / "models" / "digits")


def findings_of(devices: DevicesConfig, bundle: Bundle = DIGITS) -> list[Finding]:
    return list(accelerator_findings(devices, bundle))


def test_a_working_device_is_good_with_its_times(delegate: Path) -> None:
    (finding,) = findings_of(delegate_config(delegate))
    assert (finding.check, finding.level, finding.remedy) == ("self-test libtestdelegate.so", "good", None)
    good, paces = finding.found.split("; ")
    assert good.startswith("passed in ") and good.endswith(" ms")
    units = [pace.split(" ", 1)[1] for pace in paces.split(", ")]
    assert units == ["ms a picture", "ms a patch of sound", "ms a line of text"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fault": "segfault"}, "{library} crashed: SIGSEGV"),
        ({"fault": "abort"}, "{library} crashed: SIGABRT"),
        ({"fault": "segfault", "after": VERIFICATION_INVOKES + 5}, "{library} crashed: SIGSEGV"),
        ({"fault": "refuse"}, "{library} refuses: refused, as asked"),
        ({"fault": "error"}, "{library}: its invoke failed: failed, as asked"),
        ({"fault": "hang"}, "{library}: gave no answer within 10000 ms"),
        ({"fault": "hang", "after": VERIFICATION_INVOKES + 5}, "{library}: gave no answer within "),
        ({"fault": "wrong"}, "computes wrongly: the output of a test input differs by"),
    ],
)
def test_a_fault_is_a_warning_that_names_the_library(delegate: Path, options: dict[str, object], text: str) -> None:
    (finding,) = findings_of(delegate_config(delegate, **options))
    assert finding.level == "warning"
    assert text.format(library=delegate) in finding.found
    assert str(delegate) in finding.found
    assert "until then the CPU computes" in (finding.remedy or "")


def test_wrong_scores_after_a_good_verification_are_a_warning(delegate: Path) -> None:
    (finding,) = findings_of(delegate_config(delegate, check_every_s=3600, fault="wrong", after=VERIFICATION_INVOKES))
    assert finding.level == "warning"
    assert "scored" in finding.found and "expected" in finding.found


def test_a_library_that_crashes_when_loaded(tmp_path: Path) -> None:
    library = libraries.compile_library(tmp_path, libraries.CRASHES_WHEN_LOADED, "libcrash.so")
    (finding,) = findings_of(DevicesConfig(default=DelegateConfig(library=str(library))))
    assert (finding.level, finding.found) == ("warning", f"{library} crashed: SIGSEGV")


def test_each_device_has_its_own_finding(tmp_path: Path, delegate: Path) -> None:
    other = shutil.copy(delegate, tmp_path)  # of the same name
    crashes = DelegateConfig(library=str(other), options={"fault": "segfault"})
    findings = findings_of(DevicesConfig(default="cpu", text=crashes, audio=DelegateConfig(library=str(delegate))))
    assert [(finding.check, finding.level) for finding in findings] == [
        ("self-test libtestdelegate.so", "good"),
        ("self-test libtestdelegate.so#2", "warning"),
    ]
    assert findings[0].found.endswith(" ms a patch of sound"), "the text is not its"


def test_an_accelerator_that_is_gone(delegate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("edgetpu:pci:0", "delegate", str(delegate))
    monkeypatch.setattr(doctor_devices, "placements_of", lambda *_: {"image": Placement("auto", device)})
    (finding,) = findings_of(DevicesConfig(default="cpu"))
    assert (finding.check, finding.level) == ("self-test edgetpu:pci:0", "warning")
    assert "the accelerator for image is gone" in finding.found


def with_edgetpu_model(directory: Path) -> Bundle:
    """The digits with a picture model that claims to be compiled for an Edge TPU."""
    bundle = shutil.copytree(ROOT / "models" / "digits", directory / "digits")
    shutil.copy(bundle / "image.tflite", bundle / "image_edgetpu.tflite")
    manifest = yaml.safe_load((bundle / "bundle.yaml").read_text())
    manifest["modalities"]["image"]["edgetpu"] = "image_edgetpu.tflite"
    (bundle / "bundle.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
    return load_bundle(bundle)


def test_an_absent_edge_tpu_and_encoders_without_a_model_for_it(tmp_path: Path) -> None:
    stays, absent = findings_of(DevicesConfig(default="edgetpu:pci:9"), with_edgetpu_model(tmp_path))
    assert (stays.check, stays.level) == ("device edgetpu:pci:9", "warning")
    assert "the CPU runs audio, text: the bundle has no model" in stays.found
    assert (absent.check, absent.level) == ("self-test edgetpu:pci:9", "warning")
    assert "there is no Edge TPU pci:9" in absent.found
    assert "plug it in, or set devices to cpu" in (absent.remedy or "")


@pytest.fixture
def no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that starts a child process."""

    def refuse(*_: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(doctor_devices, "probe", refuse)


@pytest.mark.usefixtures("no_children")
@pytest.mark.parametrize("choice", ["auto", "cpu"])
def test_without_accelerators_there_are_no_findings(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_devices, "detect_machine", Machine)
    assert findings_of(DevicesConfig(default=choice)) == []


@pytest.mark.usefixtures("no_children")
def test_an_edge_tpu_without_a_model_in_the_bundle_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine((EdgeTpu("pci:0", Path("/dev/apex_0"), None),))
    monkeypatch.setattr(doctor_devices, "detect_machine", lambda: machine)
    (finding,) = findings_of(DevicesConfig())
    assert (finding.check, finding.level) == ("device auto", "good")
    assert finding.found.startswith("the CPU runs image, audio, text: there is an Edge TPU")


@pytest.mark.usefixtures("no_children")
def test_if_the_cpu_fails_no_other_device_runs(tmp_path: Path, delegate: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    cases = {"cases": [{"image": "white.png", "scores": {"bright": 0.1}}]}
    (bundle / "selftest" / "cases.yaml").write_text(json.dumps(cases))
    config = Config.model_validate(
        {"node": "n", "bundle": "b", "streams": {"s": {}}, "devices": {"default": {"library": str(delegate)}}}
    )
    (finding,) = doctor_node.device_findings(config, load_bundle(bundle))
    assert (finding.check, finding.level) == ("self-test cpu", "failure")


def test_the_command_survives_a_crash_and_exits_with_1(tmp_path: Path, delegate: Path, broker: Mosquitto) -> None:
    devices = {"default": {"library": str(delegate), "options": {"fault": "segfault"}}}
    code, findings = found(written(tmp_path, shipped("examined", broker) | {"devices": devices}))
    assert code == 1
    assert findings["self-test cpu"]["level"] == "good"
    finding = findings["self-test libtestdelegate.so"]
    assert (finding["level"], finding["found"]) == ("warning", f"{delegate} crashed: SIGSEGV")

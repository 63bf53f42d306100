"""The report of a machine for an issue: complete, and without anything of who owns the machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.bundle.bundle import load_bundle
from daemon.config.devices import DevicesConfig
from daemon.doctor.finding import Finding
from daemon.doctor.hardware import media, timings
from daemon.doctor.hardware.document import HardwareReport
from daemon.doctor.hardware.facts import machine_facts, told_findings
from daemon.doctor.hardware.write import rendered
from daemon.doctor.probe import ProbeResult
from tests.doctor.test_hardware_words import SECRETS, reveals
from tests.helpers.bundle_builder import write_bundle

CORE = "processor\t: {}\nFeatures\t: fp asimd evtstrm\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
PI_4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "".join(CORE.format(number) for number in range(4)) + "Serial\t\t: 10000000a1b2c3d4\n",
    "proc/meminfo": "MemTotal:        3884204 kB\nMemFree:         1000 kB\n",
    "proc/loadavg": "0.25 0.10 0.05 1/200 4242\n",
    "etc/os-release": 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
}
N100 = {
    "sys/class/dmi/id/sys_vendor": "AZW\n",
    "sys/class/dmi/id/product_name": "Beelink MINI S12 Pro\n",
    "sys/class/dmi/id/product_serial": "SN12345678\n",
    "proc/cpuinfo": "model name\t: Intel(R) N100\nflags\t\t: sse2 avx2 avx_vnni\n\n" * 4,
    "proc/meminfo": "MemTotal:       16000000 kB\n",
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "dev/dri/renderD128": "",
}
JETSON = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic",
    "dev/nvgpu/igpu0/ctrl": "",
    "sys/bus/usb/devices/1-1/idVendor": "18d1",
    "sys/bus/usb/devices/1-1/idProduct": "9302",
    "sys/bus/usb/devices/1-1/busnum": "1",
    "sys/bus/usb/devices/1-1/devnum": "4",
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_raspberry_pi(tmp_path: Path) -> None:
    found = machine_facts(made(tmp_path, PI_4), "aarch64", "6.12.25+rpt-rpi-v8")
    assert found.model_dump() == {
        "model": "Raspberry Pi 4 Model B Rev 1.4",
        "virtual": False,
        "architecture": "aarch64",
        "processor": "Cortex A72",
        "instructions": ["asimd"],
        "cores": 4,
        "memory_mb": 3793,
        "load": 0.25,
        "kernel": "6.12.25-rpt-rpi-v8",
        "system": "debian",
        "system_version": "13",
        "jetson": None,
        "edge_tpus": [],
        "gpu_nodes": [],
    }


def test_a_small_pc(tmp_path: Path) -> None:
    found = machine_facts(made(tmp_path, N100), "x86_64", "6.1.0-18-amd64")
    assert (found.model, found.processor, found.cores) == ("Beelink MINI S12 Pro", "Intel(R) N100", 4)
    assert found.instructions == ["avx2", "avx_vnni", "sse2"]
    assert found.gpu_nodes == ["renderd"]
    assert "SN12345678" not in found.model_dump_json()


def test_a_jetson_with_a_coral(tmp_path: Path) -> None:
    found = machine_facts(made(tmp_path, JETSON), "aarch64", "5.15.148-tegra")
    assert (found.model, found.jetson) == ("NVIDIA Jetson Orin Nano Developer Kit", "36.4.3")
    assert (found.edge_tpus, found.gpu_nodes) == (["usb"], ["ctrl"])


def test_an_unknown_machine_is_told_as_nothing(tmp_path: Path) -> None:
    found = machine_facts(tmp_path, "riscv64", "annas")
    assert (found.model, found.architecture, found.processor, found.kernel) == (None, "other", None, None)


def test_findings_of_the_machine_are_told_and_of_others_only_how_they_ended() -> None:
    told = told_findings(
        [
            Finding("processor", "good", "aarch64, 4 cores, no dot product instructions: int8 models run, but slower"),
            Finding("front door/camera", "failure", "rtsp://cam: refused the login", "check"),
            Finding("config", "good", "/home/anna/config.yaml: node annas-house, streams: nursery"),
            Finding("self-test edgetpu:usb:0", "warning", "grandma scored 0.1"),
            Finding("edge tpu usb:0", "good", "18d1:9302 at /dev/bus/usb/001/004, firmware loaded"),
        ]
    )
    assert [(each.check, each.level, each.found) for each in told] == [
        ("processor", "good", "aarch64 4 cores no dot product instructions int8 models run but slower"),
        ("source", "failure", None),
        ("config", "good", None),
        ("self-test", "warning", None),
        ("edge-tpu", "good", "… at … firmware loaded"),
    ]


@pytest.mark.parametrize(
    ("result", "outcome", "signal", "said"),
    [
        (ProbeResult("", "TFLite crashed: SIGILL", "SIGILL"), "failed", "SIGILL", "TFLite crashed SIGILL"),
        (
            ProbeResult("", "TFLite: the system has not answered for 300 s"),
            "failed",
            None,
            "TFLite the system has not answered for 300 s",
        ),
        (
            ProbeResult(json.dumps({"outcome": "absent", "said": "no model of anna", "timings": []})),
            "absent",
            None,
            "no model of …",
        ),
    ],
)
def test_a_crash_or_a_hang_is_a_line(result: ProbeResult, outcome: str, signal: str | None, said: str) -> None:
    attempt = timings.attempt_of("gpu", result, {})
    assert (attempt.outcome, attempt.signal, attempt.said) == (outcome, signal, said)


def test_times_of_an_accelerator_have_the_shown_names() -> None:
    each = {"encoder": "annas ear", "sense": "audio", "runs": 200, "p50_ms": 2.5, "p99_ms": 4.0, "on_cpu": 1}
    run = {"outcome": "works", "fault": None, "signal": None, "said": None, "timings": [each]}
    attempt = timings.attempt_of("edgetpu-usb", ProbeResult(json.dumps(run)), {"annas ear": "audio-1"})
    assert [(one.encoder, one.p50_ms, one.on_cpu) for one in attempt.timings] == [("audio-1", 2.5, 1)]


@pytest.mark.parametrize(
    ("took", "expected"),
    [([], (None, None)), ([2.0], (2.0, 2.0)), ([float(n) for n in range(200, 0, -1)], (101.0, 199.0))],
)
def test_percentiles(took: list[float], expected: tuple[float | None, float | None]) -> None:
    assert timings.percentiles(took) == expected


def test_encoders_of_an_own_bundle_are_numbered(tiny: Path) -> None:
    assert timings.shown_names(load_bundle(tiny)) == {"image": "image-1"}


def test_an_encoder_is_timed(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timings.print_cpu_times(str(tiny), "image")
    took = json.loads(capsys.readouterr().out)
    assert len(took) == timings.RUNS
    assert min(took) > 0


def test_a_codec_of_a_raspberry_pi() -> None:
    answer = {
        "driver": "bcm2835-codec",
        "capabilities": 0x0420_4000,
        "formats": ["YU12", "NV12", "anna"],
        "coded": ["H264", "MJPG"],
    }
    found = media.video_device(answer)
    assert (found.kind, found.driver, found.formats) == ("codec", "bcm2835-codec", ["YU12", "NV12"])
    assert found.coded == ["H264", "MJPG"]


def test_a_device_that_does_not_answer_is_another() -> None:
    assert media.video_device({}).kind == "other"


@given(st.lists(SECRETS, min_size=8, max_size=8))
def test_no_secret_of_any_source_stands_in_a_report(secrets: list[str]) -> None:
    one, two, three, four, five, six, seven, eight = secrets
    run = {"outcome": "failed", "fault": "died", "signal": None, "said": f"{one} cannot open {two}", "timings": []}
    report = HardwareReport.model_validate(
        {
            "schema": 1,
            "perceptd": "0.8.0",
            "date": "2026-01-31",
            "machine": machine_facts(Path("/nonexistent"), three, four),
            "libraries": {},
            "findings": told_findings(
                [Finding(five, "good", six), Finding("clock", "warning", f"{five} is late {six}")]
            ),
            "bundle": None,
            "accelerators": [
                timings.attempt_of("gpu", ProbeResult(json.dumps(run)), {}),
                timings.attempt_of("gpu", ProbeResult("", f"{seven} crashed", "SIGSEGV"), {}),
            ],
            "video_devices": [media.video_device({"driver": seven, "formats": [eight], "coded": [one]})],
            "cameras": [media.camera("network", {"codec": two, "sound": three, "problem": f"{four}: refused {five}"})],
            "decoders": [],
        }
    )
    text = json.loads(rendered(report))
    for secret in secrets:
        assert not any(reveals(value, secret) for value in _texts(text)), secret


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


def test_accelerators_are_tried(tiny: Path) -> None:
    found = list(timings.attempts(load_bundle(tiny), DevicesConfig()))
    by_device = {each.device: each for each in found}
    assert by_device.keys() >= {"gpu"}
    assert all(each.outcome in ("works", "absent", "failed") for each in found)
    assert not any("brightness" in (each.said or "") for each in found)

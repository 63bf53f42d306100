"""Edge TPUs and their library: tables, directory trees like a machine's, and real shared libraries."""

import os
from pathlib import Path

import pytest

from daemon.doctor.edgetpu import Driver, assess_library, edge_tpu_findings, package_version
from daemon.doctor.finding import Finding
from daemon.doctor.libraries import LITERT, TFLITE, Installed
from daemon.doctor.probe import ProbeResult
from daemon.inference.hardware import EdgeTpu
from tests.helpers import libraries
from tests.inference.test_hardware import plug_in, touch

NEW = Installed((3, 11, 2), "2.1.0", LITERT, "2.3.0")
OLD = Installed((3, 10, 2), "1.26.4", TFLITE, "2.9.1")
RECENT = Installed((3, 11, 2), "1.26.4", TFLITE, "2.14.0")
LOADS = ProbeResult("BuildLabel(COMPILER=6.3.0), RuntimeVersion(14)")
MISSING = ProbeResult("", "libedgetpu.so.1 is not installed", is_missing=True)
CRASHED = ProbeResult("", "libedgetpu.so.1 crashed: SIGSEGV", "SIGSEGV")
TPU = EdgeTpu("usb:0", Path("/dev/bus/usb/001/004"), "1a6e:089a")


@pytest.mark.parametrize(
    ("driver", "have", "tpus", "level", "found"),
    [
        (Driver(MISSING, None), NEW, [], "good", "no Edge TPU found, so its library is not needed"),
        (Driver(MISSING, None), NEW, [TPU], "warning", "is not installed, and there are Edge TPUs: usb:0"),
        (Driver(CRASHED, None), NEW, [TPU], "failure", "libedgetpu.so.1 crashed: SIGSEGV, and there"),
        (Driver(CRASHED, None), NEW, [], "warning", "libedgetpu.so.1 crashed: SIGSEGV"),
        (Driver(LOADS, None), NEW, [TPU], "good", "libedgetpu.so.1 loads, runtime version 14"),
        (Driver(LOADS, None), NEW, [], "good", "runtime version 14; no Edge TPU found"),
        (Driver(LOADS, "16.0"), OLD, [TPU], "good", "runtime version 14, package 16.0"),
        (Driver(LOADS, "16.0"), RECENT, [TPU], "warning", "up to 2.11, and crashes tflite-runtime 2.14.0"),
        (Driver(LOADS, "16.0"), NEW, [TPU], "warning", "up to 2.11, and crashes ai-edge-litert 2.3.0"),
        (Driver(LOADS, "16.0"), NEW, [], "good", "no Edge TPU found: made for TFLite up to 2.11"),
        (Driver(LOADS, "16.0tf2.13.1-2"), RECENT, [TPU], "warning", "up to 2.13, not for tflite-runtime 2.14.0"),
        (Driver(LOADS, "16.0tf2.17.1-1"), RECENT, [TPU], "good", "package 16.0tf2.17.1-1"),
        (Driver(LOADS, "16.0TF2.14.1-1"), RECENT, [TPU], "good", "package 16.0TF2.14.1-1"),
        (Driver(LOADS, "16.0tf2.18.1-1"), NEW, [TPU], "good", "package 16.0tf2.18.1-1"),
        (Driver(ProbeResult("nothing known"), None), NEW, [TPU], "good", "states no version"),
    ],
)
def test_libraries(driver: Driver, have: Installed, tpus: list[EdgeTpu], level: str, found: str) -> None:
    finding = assess_library("libedgetpu.so.1", driver, have, tpus)
    assert finding.level == level
    assert found in finding.found
    assert (finding.remedy is None) == (level == "good")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Package: libedgetpu1-std\nStatus: install ok installed\nVersion: 16.0\n", "16.0"),
        (
            "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: libedgetpu1-max\n"
            "Status: install ok installed\nSection: misc\nVersion: 16.0tf2.17.1-1\n",
            "16.0tf2.17.1-1",
        ),
        ("Package: libedgetpu1-std\nStatus: deinstall ok config-files\nVersion: 16.0\n", None),
        ("Package: libedgetpu-dev\nStatus: install ok installed\nVersion: 16.0\n", None),
        ("", None),
    ],
)
def test_packages(tmp_path: Path, status: str, expected: str | None) -> None:
    assert package_version(tmp_path) is None
    touch(tmp_path, "var/lib/dpkg/status")[0].write_text(status)
    assert package_version(tmp_path) == expected


def found_in(root: Path, library: Path) -> list[Finding]:
    return list(edge_tpu_findings(NEW, root, str(library)))


def test_a_usb_accelerator_with_a_real_library(tmp_path: Path) -> None:
    library = libraries.compile_library(tmp_path, libraries.TELLS)
    node = plug_in(tmp_path, "1-1", "18d1:9302", 1, 4)
    touch(tmp_path, str(node.relative_to(tmp_path)))
    driver, tpu = found_in(tmp_path, library)
    assert driver.level == tpu.level == "good"
    assert "runtime version 14" in driver.found
    assert tpu.found == f"18d1:9302 at {node}, firmware loaded"


def test_a_crashing_library_is_a_finding(tmp_path: Path) -> None:
    library = libraries.compile_library(tmp_path, libraries.CRASHES)
    touch(tmp_path, "dev/apex_0")
    driver, tpu = found_in(tmp_path, library)
    assert (driver.level, tpu.level) == ("failure", "good")
    assert f"{library} crashed: SIGSEGV, and there are Edge TPUs: pci:0" in driver.found


def test_a_missing_device_node_is_reported(tmp_path: Path) -> None:
    plug_in(tmp_path, "1-1", "1a6e:089a", 1, 4)
    tpu = found_in(tmp_path, tmp_path / "none.so")[-1]
    assert tpu.level == "warning"
    assert "firmware not loaded yet: there is no such node" in tpu.found


def test_a_forbidden_device_node_is_reported_with_the_udev_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root, as which tests may run, may use everything
    monkeypatch.setattr(os, "access", lambda path, mode: "/dev/" not in str(path))
    node = plug_in(tmp_path, "1-1", "1a6e:089a", 1, 4)
    touch(tmp_path, str(node.relative_to(tmp_path)), "dev/apex_0")
    _, pci, usb = found_in(tmp_path, tmp_path / "none.so")
    assert pci.level == usb.level == "warning"
    assert 'SUBSYSTEM=="apex"' in (pci.remedy or "")
    assert 'ATTRS{idVendor}=="1a6e"' in (usb.remedy or "")
    rules = touch(tmp_path, "usr/lib/udev/rules.d/60-libedgetpu1-std.rules")[0]
    rules.write_text(usb.remedy or "")
    assert (found_in(tmp_path, tmp_path / "none.so")[-1].remedy or "").startswith("add this user to the group plugdev")


def test_an_edge_tpu_on_pci_without_driver_is_reported(tmp_path: Path) -> None:
    for name, text in {"vendor": "0x1ac1", "device": "0x089a"}.items():
        touch(tmp_path, f"sys/bus/pci/devices/0000:01:00.0/{name}")[0].write_text(f"{text}\n")
    touch(tmp_path, "sys/bus/pci/devices/0000:00:00.0/vendor")
    finding = found_in(tmp_path, tmp_path / "none.so")[-1]
    assert (finding.check, finding.level) == ("edge tpu pci", "warning")
    assert "gasket-dkms" in (finding.remedy or "")
    touch(tmp_path, "dev/apex_0")
    assert "gasket-dkms" not in str(found_in(tmp_path, tmp_path / "none.so"))

"""Where an encoder goes: a table of what is wanted, what the bundle has, and what is there."""

from pathlib import Path

import pytest

from daemon.config.devices import DelegateConfig, DeviceSelection
from daemon.inference.hardware import EdgeTpu
from daemon.inference.placement import Device, Machine, edgetpu, look_around, place

NOTHING = Machine()
USB = EdgeTpu("usb:0", Path("/dev/bus/usb/001/004"), "18d1:9302")
PCI = EdgeTpu("pci:0", Path("/dev/apex_0"), None)
BOTH = Machine((PCI, USB))
JETSON = Machine(has_gpu=True)
OWN = DelegateConfig(library="/opt/libmine.so", options={"b": "2", "a": "1"})
GPU = Device("gpu", "gpu")


@pytest.mark.parametrize(
    ("choice", "machine", "is_compiled", "device", "reason"),
    [
        ("cpu", BOTH, True, None, None),
        ("auto", NOTHING, True, None, None),
        ("auto", NOTHING, False, None, None),
        ("auto", Machine((USB,)), True, edgetpu("usb:0"), None),
        ("auto", BOTH, True, edgetpu("pci:0"), None),
        ("auto", BOTH, False, None, "no model compiled for it"),
        ("auto", JETSON, False, GPU, None),
        ("auto", Machine((USB,), has_gpu=True), True, edgetpu("usb:0"), None),
        ("auto", Machine((USB,), has_gpu=True), False, GPU, None),
        ("edgetpu", BOTH, True, edgetpu("pci:0"), None),
        ("edgetpu", Machine((USB,)), True, edgetpu("usb:0"), None),
        ("edgetpu", NOTHING, True, edgetpu("usb:0"), None),  # it may yet be plugged in
        ("edgetpu", BOTH, False, None, "no model of this encoder"),
        ("edgetpu:usb", BOTH, True, edgetpu("usb:0"), None),
        ("edgetpu:usb:0", BOTH, True, edgetpu("usb:0"), None),
        ("edgetpu:pci", NOTHING, True, edgetpu("pci:0"), None),
        ("edgetpu:pci:1", BOTH, True, edgetpu("pci:1"), None),
        ("gpu", NOTHING, False, GPU, None),
        (OWN, NOTHING, False, Device("libmine.so", "delegate", "/opt/libmine.so", (("a", "1"), ("b", "2"))), None),
    ],
)
def test_where_it_goes(
    choice: DeviceSelection, machine: Machine, is_compiled: bool, device: Device | None, reason: str | None
) -> None:
    placement = place(choice, machine, is_compiled=is_compiled, gpu_delegate=None)
    assert placement.device == device
    assert (placement.reason is None) if reason is None else (reason in (placement.reason or ""))
    assert placement.wanted == (choice if isinstance(choice, str) else "libmine.so")


def test_a_gpu_is_tried_by_the_runtimes_own_way_then_by_the_configured_library() -> None:
    placement = place("gpu", NOTHING, is_compiled=False, gpu_delegate=OWN)
    instead = Device("gpu", "delegate", "/opt/libmine.so", (("a", "1"), ("b", "2")))
    assert placement.device == Device("gpu", "gpu", instead=instead)


def test_what_is_there_is_seen(tmp_path: Path) -> None:
    assert look_around(tmp_path) == Machine()
    (tmp_path / "dev" / "dri").mkdir(parents=True)
    (tmp_path / "dev" / "dri" / "renderD128").touch()
    assert look_around(tmp_path) == Machine(), "no GPU is taken unasked but a Jetson's"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref")
    (tmp_path / "dev" / "apex_0").touch()
    machine = look_around(tmp_path)
    assert machine.has_gpu
    assert [tpu.device for tpu in machine.edge_tpus] == ["pci:0"]

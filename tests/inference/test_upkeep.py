"""The upkeep of an Edge TPU: its absence is reported, and it is reset after a failure."""

import logging
from pathlib import Path

import pytest

from daemon.inference.placement import Device, edgetpu
from daemon.inference.upkeep import EdgeTpuUpkeep, upkeep_of


def plug_in(root: Path, usb_id: str = "18d1:9302") -> Path:
    """Add a Coral USB Accelerator to sysfs. Its node is a plain file, which cannot be reset."""
    device = root / "sys" / "bus" / "usb" / "devices" / "2-1"
    device.mkdir(parents=True)
    vendor, product = usb_id.split(":")
    for name, value in (("idVendor", vendor), ("idProduct", product), ("busnum", "2"), ("devnum", "7")):
        (device / name).write_text(value + "\n")
    node = root / "dev" / "bus" / "usb" / "002" / "007"
    node.parent.mkdir(parents=True)
    node.touch()
    return node


def test_the_absence_of_an_edge_tpu_is_reported(tmp_path: Path) -> None:
    usb, pci = EdgeTpuUpkeep("usb:0", tmp_path), EdgeTpuUpkeep("pci:0", tmp_path)
    assert "no USB device 1a6e:089a or 18d1:9302 is plugged in" in (usb.absence() or "")
    assert "no /dev/apex_0" in (pci.absence() or "")
    plug_in(tmp_path, "1a6e:089a")
    assert usb.absence() is None
    assert pci.absence() is not None
    assert EdgeTpuUpkeep("usb:1", tmp_path).absence() is not None


def test_a_reset_that_fails_is_logged_and_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    node = plug_in(tmp_path)
    with caplog.at_level(logging.WARNING):
        EdgeTpuUpkeep("usb:0", tmp_path).reset()
    assert f"edgetpu:usb:0: could not be reset: {node}: Inappropriate ioctl for device" in caplog.text


def test_an_edge_tpu_by_its_address_has_an_upkeep(tmp_path: Path) -> None:
    upkeep = upkeep_of(edgetpu("usb:0"), tmp_path)
    assert upkeep is not None
    assert "there is no Edge TPU usb:0: " in (upkeep.absence() or "")


def test_other_devices_have_no_upkeep(tmp_path: Path) -> None:
    for device in (Device("libx.so", "delegate", "libx.so"), Device("libedgetpu.so.1", "delegate", "libedgetpu.so.1")):
        assert upkeep_of(device, tmp_path) is None

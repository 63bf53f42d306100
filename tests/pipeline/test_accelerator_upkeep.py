"""What is done for an Edge TPU beside its process."""

import logging
from pathlib import Path

import pytest

from daemon.inference.placement import Device, edgetpu
from daemon.pipeline.acceleration import upkeep_of


def plug_in(root: Path, usb_id: str = "18d1:9302") -> Path:
    """A Coral USB Accelerator as sysfs shows it; its node is a plain file, which cannot be reset."""
    device = root / "sys" / "bus" / "usb" / "devices" / "2-1"
    device.mkdir(parents=True)
    vendor, product = usb_id.split(":")
    for name, value in (("idVendor", vendor), ("idProduct", product), ("busnum", "2"), ("devnum", "7")):
        (device / name).write_text(value + "\n")
    node = root / "dev" / "bus" / "usb" / "002" / "007"
    node.parent.mkdir(parents=True)
    node.touch()
    return node


def test_an_edge_tpu_that_is_not_there_is_not_tried(tmp_path: Path) -> None:
    usb, pci = upkeep_of(edgetpu("usb:0"), tmp_path), upkeep_of(edgetpu("pci:0"), tmp_path)
    assert "no USB device 1a6e:089a or 18d1:9302 is plugged in" in (usb.absence() or "")
    assert "no /dev/apex_0" in (pci.absence() or "")
    plug_in(tmp_path, "1a6e:089a")
    assert usb.absence() is None
    assert pci.absence() is not None
    assert upkeep_of(edgetpu("usb:1"), tmp_path).absence() is not None


def test_one_that_cannot_be_reset_is_told_and_used_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = plug_in(tmp_path)
    with caplog.at_level(logging.WARNING):
        upkeep_of(edgetpu("usb:0"), tmp_path).revive()
    assert f"edgetpu:usb:0: could not be reset: {node}: Inappropriate ioctl for device" in caplog.text


def test_nothing_is_done_for_other_devices(tmp_path: Path) -> None:
    for device in (Device("libx.so", "delegate", "libx.so"), Device("libedgetpu.so.1", "delegate", "libedgetpu.so.1")):
        upkeep = upkeep_of(device, tmp_path)
        assert upkeep.absence() is None
        upkeep.revive()

"""An emulated Coral USB Accelerator: a gadget with its USB id on the kernel's emulated bus (dummy_hcd)."""

import grp
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.inference.hardware import EdgeTpu, edge_tpus, reset_usb
from daemon.inference.upkeep import EdgeTpuUpkeep
from tests.helpers.mosquitto import wait_until

PLUG = "modprobe g_serial idVendor=0x1a6e idProduct=0x089a"
UNPLUG = "rmmod g_serial"
WAIT_S = 60.0
RULES = Path("systemd/51-perceptd.rules")

# group and mode of a USB device under the system's rules
DEFAULT = (0, 0o664)


def sh(command: str) -> str:
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def resets() -> int:
    """Return how often the kernel has reset a device of the emulated bus, from its log."""
    return sum("reset " in line and "using dummy_hcd" in line for line in sh("dmesg").splitlines())


def owner(node: Path) -> tuple[int, int]:
    """Return group and mode."""
    found = node.stat()
    return found.st_gid, found.st_mode & 0o777


@pytest.fixture
def udev() -> Iterator[None]:
    """A running udev without perceptd's rules."""
    daemon = subprocess.Popen(["/lib/systemd/systemd-udevd"])
    wait_until(Path("/run/udev/control").exists, "udev runs", WAIT_S)
    yield
    daemon.terminate()
    daemon.wait()


@pytest.fixture
def bus() -> Iterator[None]:
    sh("modprobe dummy_hcd")
    yield
    sh("rmmod dummy_hcd")


@pytest.fixture
def coral(bus: None) -> Iterator[EdgeTpu]:
    sh(PLUG)
    wait_until(edge_tpus, "it is found", WAIT_S)
    yield edge_tpus()[0]
    sh(UNPLUG)


def test_an_edge_tpu_is_found_by_its_usb_id(coral: EdgeTpu) -> None:
    assert edge_tpus() == [coral]
    assert (coral.device, coral.usb_id) == ("usb:0", "1a6e:089a")
    assert coral.node.is_char_device()


def test_a_reset_edge_tpu_is_found_again(coral: EdgeTpu) -> None:
    before = resets()
    reset_usb(coral.node)
    wait_until(lambda: edge_tpus() == [coral], "it is found again", WAIT_S)
    assert resets() == before + 1


def test_upkeep_resets_an_edge_tpu_after_a_failure(coral: EdgeTpu) -> None:
    before = resets()
    upkeep = EdgeTpuUpkeep(coral.device)
    upkeep.reset()
    assert resets() == before + 1
    assert upkeep.absence() is None


def test_an_unplugged_edge_tpu_is_absent_until_it_is_back(bus: None) -> None:
    upkeep = EdgeTpuUpkeep("usb:0")
    for _ in range(2):
        wait_until(lambda: upkeep.absence() is not None, "it is absent", WAIT_S)
        assert upkeep.absence() == "there is no Edge TPU usb:0: no USB device 1a6e:089a or 18d1:9302 is plugged in"
        sh(PLUG)
        wait_until(lambda: upkeep.absence() is None, "it is there", WAIT_S)
        sh(UNPLUG)


def test_perceptds_udev_rules_give_the_device_to_the_group_of_the_service(udev: None, coral: EdgeTpu) -> None:
    wait_until(lambda: owner(coral.node) == DEFAULT, "the system's rules apply", WAIT_S)
    shutil.copy(RULES, "/etc/udev/rules.d")
    sh("udevadm control --reload")
    sh("udevadm trigger --subsystem-match=usb --attr-match=idVendor=1a6e --attr-match=idProduct=089a")
    expected = (grp.getgrnam("plugdev").gr_gid, 0o660)
    wait_until(lambda: owner(coral.node) == expected, "perceptd's rules apply", WAIT_S)

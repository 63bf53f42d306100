"""Accelerators are found in directories laid out like sysfs and /dev."""

from pathlib import Path

import pytest

from daemon.inference.hardware import EdgeTpu, edge_tpus, gpu_nodes, jetson_release, reset_usb


def plug_in(root: Path, name: str, usb_id: str, bus: int, number: int) -> Path:
    """Add a USB device to sysfs, and return its node."""
    directory = root / "sys/bus/usb/devices" / name
    directory.mkdir(parents=True)
    vendor, product = usb_id.split(":")
    for attribute, value in {"idVendor": vendor, "idProduct": product, "busnum": bus, "devnum": number}.items():
        (directory / attribute).write_text(f"{value}\n")
    return root / f"dev/bus/usb/{bus:03}/{number:03}"


def touch(root: Path, *paths: str) -> list[Path]:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return [root / path for path in paths]


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert (edge_tpus(tmp_path), gpu_nodes(tmp_path), jetson_release(tmp_path)) == ([], [], None)


def test_edge_tpus_are_found_by_their_ids_and_nodes(tmp_path: Path) -> None:
    loaded = plug_in(tmp_path, "2-1", "18d1:9302", 2, 14)
    fresh = plug_in(tmp_path, "1-1.4", "1a6e:089a", 1, 3)
    plug_in(tmp_path, "1-1", "2109:3431", 1, 2)
    (tmp_path / "sys/bus/usb/devices/1-0:1.0").mkdir()  # an interface has no ids
    pci = touch(tmp_path, "dev/apex_0", "dev/apex_1", "dev/apex_10", "dev/apex_2", "dev/apex_control")
    assert edge_tpus(tmp_path) == [
        EdgeTpu("pci:0", pci[0], None),
        EdgeTpu("pci:1", pci[1], None),
        EdgeTpu("pci:2", pci[3], None),
        EdgeTpu("pci:3", pci[2], None),
        EdgeTpu("usb:0", fresh, "1a6e:089a"),
        EdgeTpu("usb:1", loaded, "18d1:9302"),
    ]


@pytest.mark.parametrize("attribute", ["idVendor", "idProduct", "busnum", "devnum"])
def test_a_device_that_vanishes_meanwhile_is_left_out(tmp_path: Path, attribute: str) -> None:
    plug_in(tmp_path, "1-1", "1a6e:089a", 1, 3)
    staying = plug_in(tmp_path, "1-2", "1a6e:089a", 1, 4)
    (tmp_path / "sys/bus/usb/devices/1-1" / attribute).unlink()
    assert edge_tpus(tmp_path) == [EdgeTpu("usb:0", staying, "1a6e:089a")]


def test_a_failing_reset_raises_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reset_usb(tmp_path / "001")
    touch(tmp_path, "001")
    with pytest.raises(OSError, match="ioctl"):
        reset_usb(tmp_path / "001")


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        (
            "etc/nv_tegra_release",
            "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat Feb 19\nmore\n",
            "Jetson Linux R32.7.1",
        ),
        ("etc/nv_tegra_release", "# R32 (release), REVISION: 5, GCID: 1\n", "Jetson Linux R32.5"),
        ("etc/nv_tegra_release", "# R36 (release), REVISION: 4.0, GCID: 37537400\n", "Jetson Linux R36.4.0"),
        ("etc/nv_tegra_release", "# something else\n", "Jetson Linux, something else"),
        ("etc/nv_tegra_release", "", "Jetson Linux, unknown release"),
        (
            "proc/device-tree/compatible",
            "nvidia,p3450-0000\0nvidia,jetson-nano\0nvidia,tegra210\0",
            "tegra210, no /etc/nv_tegra_release",
        ),
        ("proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0", None),
    ],
)
def test_jetson_releases(tmp_path: Path, path: str, content: str, expected: str | None) -> None:
    touch(tmp_path, path)[0].write_text(content)
    assert jetson_release(tmp_path) == expected


def test_nodes_of_gpus(tmp_path: Path) -> None:
    nodes = touch(
        tmp_path,
        "dev/nvhost-gpu",
        "dev/nvgpu/igpu0/ctrl",
        "dev/nvmap",
        "dev/mali0",
        "dev/dri/renderD128",
        "dev/dri/renderD129",
    )
    touch(tmp_path, "dev/dri/card0", "dev/video0")
    assert gpu_nodes(tmp_path) == nodes

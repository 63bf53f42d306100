"""Finds the accelerators of this machine in sysfs and /dev. Light: child processes import it."""

import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A Coral USB Accelerator before its first use, and after libedgetpu has loaded the firmware.
# Source: beagle_usb_driver_provider.cc of libedgetpu.
USB_IDS = ("1a6e:089a", "18d1:9302")

# The driver library of every Edge TPU.
EDGETPU_LIBRARY = "libedgetpu.so.1"

# _IO('U', 20) of linux/usbdevice_fs.h. The effect is that of unplugging the device and plugging it in again.
USBDEVFS_RESET = 0x5514

# Below /dev: a Jetson's GPU in JetPack 4, in JetPack 5 and later, and its memory; Mali; every GPU with DRM.
GPU_NODES = ("nvhost-gpu", "nvgpu/igpu0/ctrl", "nvmap", "mali0", "dri/renderD*")


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """One Edge TPU, on USB or PCI.

    `device` is its address as libedgetpu's option `device` takes it: usb:0, pci:0, numbered in the order found.
    `usb_id` is None on PCI.
    """

    device: str
    node: Path
    usb_id: str | None


def edge_tpus(root: Path = Path("/")) -> list[EdgeTpu]:
    """Return the Edge TPUs of this machine, those on PCI first. A device that disappears meanwhile is left out."""
    pci = sorted((root / "dev").glob("apex_[0-9]*"), key=lambda node: int(re.sub(r"\D", "", node.name)))
    found = [EdgeTpu(f"pci:{number}", node, None) for number, node in enumerate(pci)]
    usb = enumerate(_usb_accelerators(root))
    return found + [EdgeTpu(f"usb:{number}", node, usb_id) for number, (node, usb_id) in usb]


def reset_usb(node: Path) -> None:
    """Let the kernel reset a USB device. `node` is its file in /dev/bus/usb. Raises OSError."""
    descriptor = os.open(node, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, USBDEVFS_RESET, 0)
    finally:
        os.close(descriptor)


def jetson_release(root: Path = Path("/")) -> str | None:
    """Return the release of Jetson Linux, or at least the Tegra chip; None on any other machine."""
    release = _text(root / "etc" / "nv_tegra_release")
    if release is not None:
        return _short_release(release)
    compatible = _text(root / "proc" / "device-tree" / "compatible") or ""
    chips = [name.removeprefix("nvidia,") for name in compatible.split("\0") if name.startswith("nvidia,tegra")]
    return f"{chips[0]}, no /etc/nv_tegra_release" if chips else None


def gpu_nodes(root: Path = Path("/")) -> list[Path]:
    """Return the device nodes of GPUs that exist."""
    return [node for pattern in GPU_NODES for node in sorted((root / "dev").glob(pattern))]


def _usb_accelerators(root: Path) -> Iterator[tuple[Path, str]]:
    for device in sorted((root / "sys" / "bus" / "usb" / "devices").glob("*")):
        vendor, product, bus, number = (_text(device / name) for name in ("idVendor", "idProduct", "busnum", "devnum"))
        if vendor is None or product is None or bus is None or number is None:
            continue
        usb_id = f"{vendor}:{product}".lower()
        if usb_id in USB_IDS and bus.isdecimal() and number.isdecimal():
            yield root / "dev" / "bus" / "usb" / f"{int(bus):03}" / f"{int(number):03}", usb_id


def _short_release(text: str) -> str:
    """Return NVIDIA's short name of a release, from the line `# R32 (release), REVISION: 7.1, GCID: ...`."""
    line = text.splitlines()[0] if text else ""
    found = re.match(r"#\s*(R\d+).*?REVISION:\s*([\d.]+)", line)
    return f"Jetson Linux {found[1]}.{found[2]}" if found else f"Jetson Linux, {line.strip('# ') or 'unknown release'}"


def _text(path: Path) -> str | None:
    """Return the text of a small file; None when it does not exist."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None

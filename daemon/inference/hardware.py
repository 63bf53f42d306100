"""The accelerators this machine has, read from sysfs and /dev; light, so that child processes may ask too."""

import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USB_IDS = ("1a6e:089a", "18d1:9302")
"""A Coral USB Accelerator as it comes, and once libedgetpu has loaded its firmware, at its first use (libedgetpu's
beagle_usb_driver_provider.cc)."""

EDGETPU_LIBRARY = "libedgetpu.so.1"
"""By which every Edge TPU is driven."""

USBDEVFS_RESET = 0x5514
"""_IO('U', 20) of linux/usbdevice_fs.h: as if the device were unplugged and plugged in again."""

GPU_NODES = ("nvhost-gpu", "nvgpu/igpu0/ctrl", "nvmap", "mali0", "dri/renderD*")
"""Below /dev: a Jetson's GPU in JetPack 4, in JetPack 5 and later, its memory; Mali; any with DRM."""


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """One Edge TPU, plugged in or soldered on."""

    device: str
    """As libedgetpu's option `device` takes it: usb:0, pci:0, numbered in the order found."""
    node: Path
    usb_id: str | None
    """None on PCI."""


def edge_tpus(root: Path = Path("/")) -> list[EdgeTpu]:
    """The Edge TPUs here, those on PCI first. One that is unplugged meanwhile is left out."""
    pci = sorted((root / "dev").glob("apex_[0-9]*"), key=lambda node: int(re.sub(r"\D", "", node.name)))
    found = [EdgeTpu(f"pci:{number}", node, None) for number, node in enumerate(pci)]
    usb = enumerate(_usb_accelerators(root))
    return found + [EdgeTpu(f"usb:{number}", node, usb_id) for number, (node, usb_id) in usb]


def reset_usb(node: Path) -> None:
    """Let the kernel reset the USB device with this node of /dev/bus/usb. Raises OSError."""
    descriptor = os.open(node, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, USBDEVFS_RESET, 0)
    finally:
        os.close(descriptor)


def jetson_release(root: Path = Path("/")) -> str | None:
    """Which Jetson Linux this is, or at least which Tegra; None: no Jetson."""
    release = _text(root / "etc" / "nv_tegra_release")
    if release is not None:
        return _short_release(release)
    compatible = _text(root / "proc" / "device-tree" / "compatible") or ""
    chips = [name.removeprefix("nvidia,") for name in compatible.split("\0") if name.startswith("nvidia,tegra")]
    return f"{chips[0]}, no /etc/nv_tegra_release" if chips else None


def gpu_nodes(root: Path = Path("/")) -> list[Path]:
    """The device nodes of GPUs that exist."""
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
    """`# R32 (release), REVISION: 7.1, GCID: ...` in short words, as NVIDIA names releases."""
    line = text.splitlines()[0] if text else ""
    found = re.match(r"#\s*(R\d+).*?REVISION:\s*([\d.]+)", line)
    return f"Jetson Linux {found[1]}.{found[2]}" if found else f"Jetson Linux, {line.strip('# ') or 'unknown release'}"


def _text(path: Path) -> str | None:
    """What a small file says; None where it is not there, or not any more."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None

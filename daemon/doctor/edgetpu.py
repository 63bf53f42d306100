"""Checks Edge TPUs, and the library that drives them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.doctor.finding import Finding
from daemon.doctor.libraries import LITERT, TFLITE, Installed, major_minor
from daemon.doctor.machine import access_finding
from daemon.doctor.probe import ProbeResult, probe_shared_library
from daemon.inference.hardware import EDGETPU_LIBRARY, EdgeTpu, edge_tpus

# Debian packages of the library, for the usual clock and for the highest
PACKAGES = ("libedgetpu1-std", "libedgetpu1-max")

# Google's own builds, the last of which is 16.0, crash newer runtimes by SIGSEGV (google-coral/edgetpu, issue 812)
GOOGLES_NEWEST_TFLITE = (2, 11)

INSTALL_REMEDY = (
    "install libedgetpu1-std of the Coral repository, or a build for your runtime (github.com/feranick/libedgetpu)"
)

# debian/edgetpu-accelerator.rules of libedgetpu
USB_UDEV_LINES = (
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",ATTRS{idProduct}=="089a",GROUP="plugdev"',
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="18d1",ATTRS{idProduct}=="9302",GROUP="plugdev"',
)

# debian/gasket-dkms.udev of gasket-driver
PCI_UDEV_LINE = 'SUBSYSTEM=="apex",MODE="0660",GROUP="apex"'

# an Edge TPU on PCI, as in Coral's guide, which looks for it with lspci
PCI_ID = ("0x1ac1", "0x089a")

# udev(7)
UDEV_DIRECTORIES = ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")


@dataclass(frozen=True, slots=True)
class Driver:
    """The library: the result of loading it, and the version of its Debian package."""

    probe: ProbeResult
    package: str | None


def edge_tpu_findings(have: Installed, root: Path = Path("/"), library: str = EDGETPU_LIBRARY) -> Iterator[Finding]:
    """Findings of the library, and of each Edge TPU."""
    tpus = edge_tpus(root)
    driver = Driver(probe_shared_library(library, "edgetpu_version"), package_version(root))
    yield assess_library(library, driver, have, tpus)
    if (finding := _pci_without_driver(root, tpus)) is not None:
        yield finding
    for tpu in tpus:
        yield _access_finding(tpu, root)


def assess_library(library: str, driver: Driver, have: Installed, tpus: list[EdgeTpu]) -> Finding:
    """Whether the library loads and matches the runtime. Without an Edge TPU it is not needed."""
    probe = driver.probe
    if probe.problem is not None:
        if probe.is_missing and not tpus:
            return Finding("libedgetpu", "good", "no Edge TPU found, so its library is not needed")
        devices = ", ".join(tpu.device for tpu in tpus)
        found = f"{probe.problem}, and there are Edge TPUs: {devices}" if tpus else probe.problem
        if probe.is_missing:
            return Finding("libedgetpu", "warning", found, INSTALL_REMEDY)
        return Finding("libedgetpu", "failure" if tpus else "warning", found, f"remove it, or {INSTALL_REMEDY}")
    found = f"{library} {_summary(driver)}" + ("" if tpus else "; no Edge TPU found")
    if (mismatch := _mismatch(driver.package, have)) is not None:
        remedy = INSTALL_REMEDY if tpus else None
        return Finding("libedgetpu", "warning" if tpus else "good", f"{found}: {mismatch}", remedy)
    return Finding("libedgetpu", "good", found)


def package_version(root: Path = Path("/")) -> str | None:
    """The version of the library's Debian package; None if it is not installed as a package."""
    try:
        text = (root / "var" / "lib" / "dpkg" / "status").read_text("utf-8", "replace")
    except OSError:
        return None
    for entry in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): *(.*)$", entry, re.MULTILINE))
        if fields.get("Package") in PACKAGES and fields.get("Status", "").endswith(" installed"):
            return fields.get("Version")
    return None


def _mismatch(package: str | None, have: Installed) -> str | None:
    """Why the package does not match the runtime.

    16.0 is Google's own build, 16.0tf2.17.1-1 is made for TFLite 2.17.
    A build for a later TFLite drives runtimes from 2.11 up to that, and ai-edge-litert (LiteRT's issue 3611).
    """
    if package is None or have.runtime is None or have.runtime_version is None:
        return None
    runtime = f"{have.runtime} {have.runtime_version}"
    made_for = re.search(r"tf(\d+\.\d+)", package, re.IGNORECASE)
    if made_for is None:
        is_newer = have.runtime == LITERT or major_minor(have.runtime_version) > GOOGLES_NEWEST_TFLITE
        return f"made for TFLite up to 2.11, and crashes {runtime}" if is_newer else None
    if have.runtime == TFLITE and major_minor(made_for[1]) < major_minor(have.runtime_version):
        return f"made for TFLite up to {made_for[1]}, not for {runtime}"
    return None


def _summary(driver: Driver) -> str:
    # the library says: BuildLabel(...), RuntimeVersion(14)
    found = re.search(r"RuntimeVersion\((\d+)\)", driver.probe.output)
    runtime = f"runtime version {found[1]}" if found else "states no version"
    return f"loads, {runtime}" + (f", package {driver.package}" if driver.package else "")


def _access_finding(tpu: EdgeTpu, root: Path) -> Finding:
    firmware = {"1a6e:089a": ", firmware not loaded yet", "18d1:9302": ", firmware loaded"}
    found = f"{tpu.usb_id or 'PCI'} at {tpu.node}{firmware.get(tpu.usb_id or '', '')}"
    if tpu.usb_id is None:
        remedy = f"put {PCI_UDEV_LINE} into /etc/udev/rules.d/65-apex.rules, add this user to the group apex and reboot"
    elif _has_usb_udev_lines(root):
        remedy = "add this user to the group plugdev, log in again, and plug it in again"
    else:
        remedy = (
            f"put {' and '.join(USB_UDEV_LINES)} into /etc/udev/rules.d/99-edgetpu-accelerator.rules, run udevadm "
            "control --reload-rules, add this user to the group plugdev, log in again, and plug it in again"
        )
    return access_finding(f"edge tpu {tpu.device}", tpu.node, found, remedy)


def _has_usb_udev_lines(root: Path) -> bool:
    for directory in UDEV_DIRECTORIES:
        for file in (root / directory).glob("*.rules"):
            text = file.read_text("utf-8", "replace") if os.access(file, os.R_OK) else ""
            if "1a6e" in text and "18d1" in text:
                return True
    return False


def _pci_without_driver(root: Path, tpus: list[EdgeTpu]) -> Finding | None:
    """The finding of an Edge TPU on PCI that has no device node."""
    for device in sorted((root / "sys" / "bus" / "pci" / "devices").glob("*")):
        try:
            ids = tuple((device / name).read_text().strip() for name in ("vendor", "device"))
        except OSError:
            continue
        if ids == PCI_ID and not any(tpu.usb_id is None for tpu in tpus):
            found = f"there is one on PCI at {device.name}, and no /dev/apex_0"
            return Finding("edge tpu pci", "warning", found, "install gasket-dkms of the Coral repository, and reboot")
    return None

"""Edge TPUs, and the library that drives them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.doctor.finding import Finding, ProbeResult, print_library_version, probe
from daemon.doctor.libraries import LITERT, TFLITE, Installed, major_minor
from daemon.doctor.machine import access_finding
from daemon.inference.hardware import EDGETPU_LIBRARY, EdgeTpu, edge_tpus

PACKAGES = ("libedgetpu1-std", "libedgetpu1-max")
"""Debian packages of the library: at its usual clock, and at the highest."""

GOOGLES_NEWEST_TFLITE = (2, 11)
"""Google's own builds, the last of which is 16.0, end newer runtimes by SIGSEGV (google-coral/edgetpu, issue 812)."""

INSTALL = (
    "install libedgetpu1-std of the Coral repository, or a build for your runtime (github.com/feranick/libedgetpu)"
)

USB_RULES = (
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="1a6e",ATTRS{idProduct}=="089a",GROUP="plugdev"',
    'SUBSYSTEM=="usb",ATTRS{idVendor}=="18d1",ATTRS{idProduct}=="9302",GROUP="plugdev"',
)
"""debian/edgetpu-accelerator.rules of libedgetpu."""

PCI_RULE = 'SUBSYSTEM=="apex",MODE="0660",GROUP="apex"'
"""debian/gasket-dkms.udev of gasket-driver."""

PCI_ID = ("0x1ac1", "0x089a")
"""An Edge TPU on PCI, as Coral's guide looks for it with lspci."""

RULES_DIRECTORIES = ("etc/udev/rules.d", "run/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
"""udev(7)."""


@dataclass(frozen=True, slots=True)
class Driver:
    """What is known of the library: what it says of itself, or what went wrong, and its Debian package's version."""

    trial: ProbeResult
    package: str | None


def edge_tpu_findings(have: Installed, root: Path = Path("/"), library: str = EDGETPU_LIBRARY) -> Iterator[Finding]:
    """The library, and each Edge TPU."""
    tpus = edge_tpus(root)
    driver = Driver(probe(library, print_library_version, library, "edgetpu_version"), package_version(root))
    yield assess_library(library, driver, have, tpus)
    yield from (finding for finding in (_pci_without_driver(root, tpus),) if finding is not None)
    for tpu in tpus:
        yield _accessible(tpu, root)


def assess_library(library: str, driver: Driver, have: Installed, tpus: list[EdgeTpu]) -> Finding:
    """Whether the library loads, and goes with the runtime. Without an Edge TPU none is needed."""
    trouble = driver.trial.trouble
    if trouble is not None:
        if driver.trial.is_missing and not tpus:
            return Finding("libedgetpu", "good", "no Edge TPU here, and no library, which none needs")
        found = f"{trouble}, and there are Edge TPUs: {', '.join(tpu.device for tpu in tpus)}" if tpus else trouble
        if driver.trial.is_missing:
            return Finding("libedgetpu", "warning", found, INSTALL)
        return Finding("libedgetpu", "failure" if tpus else "warning", found, f"remove it, or {INSTALL}")
    found = f"{library} {_in_short(driver)}" + ("" if tpus else "; no Edge TPU here")
    if (mismatch := _mismatch(driver.package, have)) is not None:
        return Finding("libedgetpu", "warning" if tpus else "good", f"{found}: {mismatch}", INSTALL if tpus else None)
    return Finding("libedgetpu", "good", found)


def package_version(root: Path = Path("/")) -> str | None:
    """The version of the installed Debian package of the library; None: not from a package."""
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
    """What the package's version says about the runtime: 16.0 is Google's own, 16.0tf2.17.1-1 is made for TFLite 2.17.

    One made for a later TFLite drives runtimes from 2.11 up to that, and ai-edge-litert (LiteRT's issue 3611).
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


def _in_short(driver: Driver) -> str:
    """`BuildLabel(...), RuntimeVersion(14)` in short words."""
    found = re.search(r"RuntimeVersion\((\d+)\)", driver.trial.said)
    runtime = f"runtime version {found[1]}" if found else "says no version"
    return f"loads, {runtime}" + (f", package {driver.package}" if driver.package else "")


def _accessible(tpu: EdgeTpu, root: Path) -> Finding:
    state = {"1a6e:089a": ", firmware not loaded yet", "18d1:9302": ", firmware loaded"}
    found = f"{tpu.usb_id or 'PCI'} at {tpu.node}{state.get(tpu.usb_id or '', '')}"
    if tpu.usb_id is None:
        remedy = f"put {PCI_RULE} into /etc/udev/rules.d/65-apex.rules, add this user to the group apex, and reboot"
    elif _has_usb_rules(root):
        remedy = "add this user to the group plugdev, log in anew, and plug it in again"
    else:
        remedy = (
            f"put {' and '.join(USB_RULES)} into /etc/udev/rules.d/99-edgetpu-accelerator.rules, run udevadm control "
            "--reload-rules, add this user to the group plugdev, log in anew, and plug it in again"
        )
    return access_finding(f"edge tpu {tpu.device}", tpu.node, found, remedy)


def _has_usb_rules(root: Path) -> bool:
    for directory in RULES_DIRECTORIES:
        for file in (root / directory).glob("*.rules"):
            text = file.read_text("utf-8", "replace") if os.access(file, os.R_OK) else ""
            if "1a6e" in text and "18d1" in text:
                return True
    return False


def _pci_without_driver(root: Path, tpus: list[EdgeTpu]) -> Finding | None:
    """An Edge TPU on PCI that has no node."""
    for device in sorted((root / "sys" / "bus" / "pci" / "devices").glob("*")):
        try:
            ids = tuple((device / name).read_text().strip() for name in ("vendor", "device"))
        except OSError:
            continue
        if ids == PCI_ID and not any(tpu.usb_id is None for tpu in tpus):
            found = f"there is one on PCI at {device.name}, and no /dev/apex_0"
            return Finding("edge tpu pci", "warning", found, "install gasket-dkms of the Coral repository, and reboot")
    return None

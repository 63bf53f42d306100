"""What a machine is: board, processor, kernel, system, accelerators, and the versions of libraries."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from daemon.doctor.finding import Finding as Found
from daemon.doctor.hardware import words
from daemon.doctor.hardware.document import Architecture, Finding, Machine
from daemon.inference.hardware import edge_tpus, gpu_nodes, jetson_release

# the other packages whose versions matter to whoever reads a report
PACKAGES = (
    "ai-edge-litert",
    "tflite-runtime",
    "numpy",
    "av",
    "opencv-python-headless",
    "pydantic",
    "soxr",
    "scipy",
    "sounddevice",
    "paho-mqtt",
)

# implementer and part of /proc/cpuinfo on Arm, whose kernels give no name (arch/arm64/include/asm/cputype.h of Linux)
ARM_PARTS = {
    ("0x41", "0xd03"): "Cortex A53",
    ("0x41", "0xd04"): "Cortex A35",
    ("0x41", "0xd05"): "Cortex A55",
    ("0x41", "0xd07"): "Cortex A57",
    ("0x41", "0xd08"): "Cortex A72",
    ("0x41", "0xd09"): "Cortex A73",
    ("0x41", "0xd0a"): "Cortex A75",
    ("0x41", "0xd0b"): "Cortex A76",
    ("0x41", "0xd0c"): "Neoverse N1",
    ("0x41", "0xd40"): "Neoverse V1",
    ("0x41", "0xd42"): "Cortex A78",
}

SYSTEMS, INSTRUCTIONS = map(words.known, ("systems", "instructions"))

# where the kernel says what the board is: of a device tree, and of a BIOS
DEVICE_TREE = ("proc/device-tree/model",)
BIOS = ("sys/class/dmi/id/sys_vendor", "sys/class/dmi/id/product_name")

# The checks of doctor that concern the machine alone. What they found is told; of others only how they ended.
OF_THE_MACHINE = ("python", "libraries", "processor", "memory", "clock", "libedgetpu", "gpu", "jetson", "edge-tpu")
OTHERS = ("disk", "config", "service", "broker", "health", "models", "bundle", "device", "self-test", "source")


def machine_facts(root: Path = Path("/"), architecture: str | None = None, release: str | None = None) -> Machine:
    """Return what the machine is. `root` holds /proc, /sys, /dev and /etc."""
    cpuinfo = _text(root / "proc/cpuinfo")
    features = [set(line.split()) for line in re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)]
    common: set[str] = set.intersection(*features) if features else set()
    memory = re.search(r"^MemTotal:\s*(\d{1,12}) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    system = _system(_text(root / "etc/os-release"))
    jetson = jetson_release(root)
    return Machine(
        model=_board(root),
        virtual="hypervisor" in common,
        architecture=_architecture(architecture or platform.machine()),
        processor=_processor(cpuinfo),
        instructions=sorted(common & INSTRUCTIONS),
        cores=len(features),
        memory_mb=int(memory[1]) // 1024 if memory else 0,
        load=_load(_text(root / "proc/loadavg")),
        kernel=words.kernel(release or os.uname().release),
        system=words.one_of(system.get("ID", ""), SYSTEMS),
        system_version=words.version(system.get("VERSION_ID")),
        jetson=_jetson(jetson),
        edge_tpus=["pci" if tpu.usb_id is None else "usb" for tpu in edge_tpus(root)],
        gpu_nodes=[_node(path.name) for path in gpu_nodes(root)],
    )


def library_versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages; None: not installed, or it states none."""
    found: dict[str, str | None] = {"python": words.version(platform.python_version())}
    for package in PACKAGES:
        try:
            found[package] = words.version(version(package))
        except PackageNotFoundError:
            found[package] = None
    return found


def told_findings(findings: Sequence[Found]) -> list[Finding]:
    """Return the findings of doctor without what concerns the owner: paths, names, addresses and labels."""
    return [_told(found) for found in findings]


def _told(found: Found) -> Finding:
    first = found.check.split(" ", 1)[0]
    name = "edge-tpu" if found.check.startswith("edge tpu") else first
    if name in OF_THE_MACHINE:
        return Finding(check=name, level=found.level, found=words.message(found.found))
    # a check of a source has the name of its stream, which the owner has given
    return Finding(check=name if name in OTHERS else "source", level=found.level, found=None)


def _architecture(machine: str) -> Architecture:
    known: dict[str, Architecture] = {"aarch64": "aarch64", "x86_64": "x86_64", "armv7l": "armv7l", "armv8l": "armv7l"}
    return known.get(machine, "other")


def _load(loadavg: str) -> float:
    found = re.match(r"\d{1,5}\.\d\d ", loadavg)
    return 0.0 if found is None else float(found.group())


def _board(root: Path) -> str | None:
    for names in (DEVICE_TREE, BIOS):
        text = " ".join(_text(root / name).strip("\0 \n") for name in names)
        if (model := words.board(text)) is not None:
            return model
    return None


def _processor(cpuinfo: str) -> str | None:
    name = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    if name is not None and (known := words.processor(name[1])) is not None:
        return known
    pairs = zip(
        re.findall(r"^CPU implementer\s*:\s*(0x\w{2})$", cpuinfo, re.MULTILINE),
        re.findall(r"^CPU part\s*:\s*(0x\w{3})$", cpuinfo, re.MULTILINE),
        strict=False,
    )
    parts = [ARM_PARTS[pair] for pair in dict.fromkeys(pairs) if pair in ARM_PARTS]
    return " ".join(parts) or None


def _system(release: str) -> Mapping[str, str]:
    return {key: value.strip("\"'") for key, value in re.findall(r"^(\w+)=(.*)$", release, re.MULTILINE)}


def _jetson(release: str | None) -> str | None:
    found = None if release is None else re.match(r"Jetson Linux R?([\d.]+)", release)
    return None if found is None else words.version(found[1])


def _node(name: str) -> str:
    """Return the kind of a node of a GPU."""
    return re.sub(r"[^a-z-]", "", name.lower()) or "gpu"


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""

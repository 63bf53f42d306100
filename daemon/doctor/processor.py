"""What the processor can do of what TFLite's kernels use."""

import platform
import re
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from daemon.doctor.finding import Finding


@dataclass(frozen=True, slots=True)
class Kernels:
    """What the kernels of one architecture need and what makes int8 models fast: names of /proc/cpuinfo."""

    needed: str
    fast: str
    fast_words: str
    gpu: str | None = None
    """What LiteRT's GPU accelerator needs: 2.3 ends its process by SIGILL without it (LiteRT's issue 5675)."""


ARCHITECTURES = {
    "aarch64": Kernels("asimd", "asimddp", "dot product instructions", gpu="atomics"),
    "armv7l": Kernels("neon", "asimddp", "dot product instructions"),
    "x86_64": Kernels("sse2", "avx2", "AVX2"),
}
"""XNNPACK, which runs the models, needs NEON on ARM (its README, "Supported Architectures") and what every x86-64 has;
it takes faster kernels where it finds their instructions. An Arm Cortex-A76 (Pi 5) has a dot product, a Cortex-A72
(Pi 4) has none."""


def processor(root: Path = Path("/"), machine: str | None = None) -> Finding:
    """The processor of this machine; `machine` is its architecture as uname names it."""
    try:
        text = (root / "proc" / "cpuinfo").read_text("utf-8", "replace")
    except OSError as error:
        return Finding("processor", "warning", f"/proc/cpuinfo cannot be read: {error.strerror}", "mount /proc")
    return judge_processor(machine or platform.machine(), text)


def judge_processor(machine: str, cpuinfo: str) -> Finding:
    """Whether it can run models, and how fast those of int8."""
    cores = [set(features.split()) for features in re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)]
    everywhere: Set[str] = set.intersection(*cores) if cores else set()
    kernels = ARCHITECTURES.get("armv7l" if machine.startswith("armv") else machine)
    found = f"{machine}, {len(cores)} cores" if len(cores) != 1 else f"{machine}, 1 core"
    if kernels is None:
        return Finding(
            "processor", "warning", f"{found}: perceptd was not tried on it", "see whether the self-test runs"
        )
    if kernels.needed not in everywhere:
        remedy = "use a machine that has it; in a virtual one, let it show the host's processor"
        return Finding("processor", "failure", f"{found}, without {kernels.needed}, which TFLite needs", remedy)
    is_fast = kernels.fast in everywhere
    found += f", with {kernels.fast_words}" if is_fast else f", no {kernels.fast_words}: int8 models run, but slower"
    if kernels.gpu is not None and kernels.gpu not in everywhere:
        found += f"; no {kernels.gpu}: LiteRT's GPU accelerator cannot run"
    return Finding("processor", "good", found)

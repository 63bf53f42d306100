"""Processors, by their entries in /proc/cpuinfo."""

from pathlib import Path

import pytest

from daemon.doctor.machine import assess_processor, processor_finding

PI_4 = "Features\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n"
PI_5 = (
    "Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n"
)
PI_2 = "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm\n"
PI_ZERO = "Features\t: half thumb fastmult vfp edsp java tls\n"
PC = "flags\t\t: fpu sse sse2 ssse3 sse4_1 avx avx2\n"
SLOWER = "no dot product instructions: int8 models run, but slower"
NO_GPU = "; no atomics: LiteRT's GPU accelerator cannot run"
ATOM = "flags\t\t: fpu sse sse2 ssse3 sse4_1 sse4_2\n"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "level", "found"),
    [
        ("aarch64", PI_5 * 4, "good", "aarch64, 4 cores, with dot product instructions"),
        ("aarch64", PI_4 * 4, "good", f"aarch64, 4 cores, {SLOWER}{NO_GPU}"),
        ("aarch64", PI_5 + PI_4, "good", f"aarch64, 2 cores, {SLOWER}{NO_GPU}"),
        ("armv7l", PI_2 * 4, "good", f"armv7l, 4 cores, {SLOWER}"),
        ("armv6l", PI_ZERO, "failure", "armv6l, 1 core, without neon, which TFLite needs"),
        ("x86_64", PC * 2, "good", "x86_64, 2 cores, with AVX2"),
        ("x86_64", ATOM, "good", "x86_64, 1 core, no AVX2: int8 models run, but slower"),
        ("riscv64", "hart : 0\n", "warning", "riscv64, 0 cores: perceptd was not tested on it"),
    ],
)
def test_processors(machine: str, cpuinfo: str, level: str, found: str) -> None:
    finding = assess_processor(machine, cpuinfo)
    assert (finding.level, finding.found) == (level, found)


def test_this_processor_runs_models() -> None:
    assert processor_finding().level == "good"


def test_a_machine_without_proc(tmp_path: Path) -> None:
    assert processor_finding(tmp_path).level == "warning"

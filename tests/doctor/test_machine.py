"""Memory, disk and clock."""

from pathlib import Path

import pytest

from daemon.doctor.machine import (
    STA_UNSYNC,
    assess_clock,
    assess_disk,
    assess_memory,
    clock_finding,
    disk_finding,
    memory_finding,
)


@pytest.mark.parametrize(("available_mb", "level"), [(4000, "good"), (150, "good"), (149, "warning"), (0, "warning")])
def test_memory(available_mb: int, level: str) -> None:
    meminfo = (
        f"MemTotal:        8000000 kB\nMemFree: 1 kB\nMemAvailable:   {available_mb * 1024} kB\nHugePages_Total: 0\n"
    )
    finding = assess_memory(meminfo)
    assert finding.level == level
    assert finding.found.startswith(f"{available_mb} MB of 7812 MB available")


def test_memory_of_this_machine_and_of_one_without_proc(tmp_path: Path) -> None:
    assert "MB available" in memory_finding().found
    assert memory_finding(tmp_path).level == "warning"


@pytest.mark.parametrize(
    ("free_mb", "is_writable", "level", "remedy"),
    [
        (1000, True, "good", ""),
        (114, True, "good", ""),
        (113.9, True, "warning", "mqtt.outbox.max_mb"),
        (1000, False, "warning", "state_directory"),
    ],
)
def test_disks(free_mb: float, is_writable: bool, level: str, remedy: str) -> None:
    finding = assess_disk(Path("/var/lib/perceptd"), free_mb, 64, is_writable=is_writable)
    assert finding.level == level
    assert "/var/lib/perceptd" in finding.found
    assert remedy in (finding.remedy or "")


def test_a_directory_that_does_not_exist_is_on_the_disk_of_its_parent(tmp_path: Path) -> None:
    finding = disk_finding(tmp_path / "not" / "yet", 0)
    assert finding.level in ("good", "warning")  # in memory, where the temporary files of this machine are
    assert str(tmp_path / "not" / "yet") in finding.found
    assert not (tmp_path / "not").exists()


def test_a_state_in_memory_is_told() -> None:
    finding = disk_finding(Path("/dev/shm/not/yet"), 0)
    assert (finding.level, finding.found) == (
        "warning",
        "/dev/shm/not/yet lies in memory: it is lost when the machine restarts",
    )


def test_clocks() -> None:
    assert assess_clock(0x2001, 400).level == "good"
    assert assess_clock(STA_UNSYNC, 250_000).level == "good"
    assert assess_clock(STA_UNSYNC, 16_000_000).level == "warning"
    assert clock_finding().found in ("synchronised", "not synchronised, as far as the kernel knows")

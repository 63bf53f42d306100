"""Where a directory lies, by the kernel's list of mounts."""

from pathlib import Path

import pytest

from daemon.core.mounts import file_system_of, why_passing

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
23 22 0:21 / /var rw shared:1 - tmpfs tmpfs rw
24 23 254:1 / /var/lib/perceptd rw - ext4 /dev/sda1 rw
25 22 0:30 / /mnt/with\040space rw - vfat /dev/sdb1 rw
26 22 0:31 / /opt ro - ext4 /dev/sdc1 ro
27 22 0:32 / /opt rw - overlay overlay rw
damaged
""".strip()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/me", "ext4"),
        ("/var/lib/other", "tmpfs"),
        ("/var/lib/perceptd/history", "ext4"),
        ("/variant", "ext4"),
        ("/mnt/with space/x", "vfat"),
        ("/opt/perceptd", "overlay"),
    ],
)
def test_the_innermost_and_latest_mount_counts(path: str, expected: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == expected


def test_without_a_list_nobody_knows() -> None:
    assert file_system_of(Path("/x"), "") is None


def test_the_shared_memory_of_this_machine_is_in_memory() -> None:
    assert why_passing(Path("/dev/shm/not/yet")) == "in memory"

"""The outbox leaves itself the room that it needs to remove events."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.mqtt.outbox.disk_room import LARGE_DISK, PAGE_BYTES, TRANSACTION_PAGES, disk_room
from tests.mqtt.records import event

IN_SMALL_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@given(st.integers(200_000, 1 << 40), st.integers(0, 1 << 30))
def test_the_longest_journal_fits_beside_the_largest_database(free: int, own: int) -> None:
    room = disk_room(free, own)
    transaction = 2 * room.batch_bytes // PAGE_BYTES + TRANSACTION_PAGES
    assert (room.journal_pages + transaction + room.database_pages) * PAGE_BYTES <= free + own


def test_on_a_large_disk_nothing_is_small() -> None:
    assert disk_room(100 << 20, 0) == LARGE_DISK or LARGE_DISK.database_pages > disk_room(100 << 20, 0).database_pages
    assert disk_room(100 << 20, 0).journal_pages == LARGE_DISK.journal_pages


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize(("size", "count", "least"), [("256k", 400, 400), ("256k", 1500, 500)])
def test_a_full_disk_blocks_the_outbox_no_longer_than_the_broker_is_away(
    size: str, count: int, least: int, tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "tests.mqtt.outbox.small_disk_process", str(tmp_path), str(count)]
    command = ["unshare", "--mount", "sh", "-c", IN_SMALL_DISK, "sh", size, str(tmp_path), *program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    outcome = json.loads(ran.stdout)
    assert outcome["trouble"] is None
    assert set(outcome["dropped"]) <= {"event_overflow"}
    sent, added = outcome["sent"], [event(n, "end").id for n in range(count)]
    assert len(sent) == count - sum(outcome["dropped"].values())
    assert sent == [found for found in added if found in set(sent)]
    assert sent[-least:] == added[-least:]

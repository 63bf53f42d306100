"""Whatever lies below `models/`: bundles are fetched as before, and nothing is read or written through a link."""

import logging
import os
from pathlib import Path

import pytest

from daemon.bundle.release import FILE_LIST_NAME
from daemon.core.errors import UpdateError
from daemon.updates.metadata_cache import MAX_METADATA_BYTES, clean_cache, copy_cache
from daemon.updates.slots import MB, Slots, check_integrity
from tests.helpers.hostile_files import FOREIGN, HOSTILE, Foreign, Kind, directory, link_to_file
from tests.updates.fetching import FILES, Device, files_below

# in the cache of metadata, and in a download: what is put there at a time
CACHE = [
    ["root.json", "timestamp.json", "snapshot.json", "targets.json", "root_history", "stray"],
    ["root_history/1.root.json", "root_history/2.root.json", "root_history/stray"],
]
PARTIAL = [["image.tflite", "selftest", ".fetching", FILE_LIST_NAME, "stray"], ["selftest/cases.yaml", "files.new"]]


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_cache_of_metadata_is_made_anew(device: Device, foreign: Foreign, kind: Kind) -> None:
    before = device.list_releases()
    for names in CACHE:
        for name in names:
            foreign.put(kind, device.metadata / name)
        assert device.list_releases() == before
        assert clean_cache(device.metadata) == []
    foreign.check_untouched()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_download_goes_on_whatever_lies_in_its_directory(device: Device, foreign: Foreign, kind: Kind) -> None:
    release = device.resolve()
    slots = Slots(device.store, 100 * MB)
    into = slots.create_download_dir(release.content)
    foreign.put(kind, into)
    slots.create_download_dir(release.content)
    device.download(release)
    for names in PARTIAL:
        for name in names:
            foreign.put(kind, into / name)
        device.download(release)
        device.verify(release)
        check_integrity(into, release.content)
        assert files_below(into).keys() == {*FILES, FILE_LIST_NAME}
    foreign.check_untouched()


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_directories_are_made_anew(
    device: Device, foreign: Foreign, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    release = device.resolve()
    slots = Slots(device.store, 100 * MB)
    names = ["slots", "partial", "tuf"]
    for name in (*names, "trash"):
        foreign.put(kind, device.store / name)
    with caplog.at_level(logging.WARNING):
        slots.create()
    if kind is not directory:
        assert [name for name in names if f"{device.store / name} " not in caplog.text] == []
    slots.create_download_dir(release.content)
    slots.check_room(release, frozenset())
    device.download(release)
    device.verify(release)
    slots.promote(release.content)
    slots.remove_unused({release.content})
    check_integrity(slots.slot(release.content), release.content)
    foreign.check_untouched()


@pytest.mark.parametrize("name", ["image.tflite", "selftest", "selftest/cases.yaml", FILE_LIST_NAME, ""])
def test_a_slot_with_a_file_that_is_not_ours_is_damaged(device: Device, foreign: Foreign, name: str) -> None:
    release = device.resolve()
    slots = Slots(device.store, 100 * MB)
    slots.create()
    for kind in FOREIGN:
        device.download(release)
        device.verify(release)
        slots.promote(release.content)
        slot = slots.slot(release.content)
        check_integrity(slot, release.content)
        foreign.put(kind, slot / name)
        with pytest.raises(UpdateError, match=r"is damaged|is not complete") as caught:
            check_integrity(slot, release.content)
        assert caught.value.kind == "disk"
    foreign.check_untouched()


def test_a_link_among_the_slots_is_removed_and_not_what_it_leads_to(tmp_path: Path, foreign: Foreign) -> None:
    slots = Slots(tmp_path / "models", MB)
    slots.create()
    for name in ("slots", "partial"):
        (tmp_path / "models" / name / "a").symlink_to(foreign.file.parent)
        (tmp_path / "models" / name / "b").symlink_to("/nowhere")
    slots.remove_unused(frozenset())
    assert not os.path.lexists(tmp_path / "models/slots/a")
    foreign.check_untouched()


def test_a_copy_of_the_cache_for_doctor_is_bounded(device: Device, tmp_path: Path, foreign: Foreign) -> None:
    device.list_releases()
    copy_cache(device.metadata, tmp_path / "copy")
    copied = files_below(tmp_path / "copy")
    assert {"timestamp.json", "snapshot.json", "targets.json", "root_history/1.root.json"} <= copied.keys()
    for index, kind in enumerate(FOREIGN):
        foreign.put(kind, device.metadata / "targets.json")
        with pytest.raises(OSError, match="targets"):
            copy_cache(device.metadata, tmp_path / f"copy{index}")
    assert sum(map(len, copied.values())) < MAX_METADATA_BYTES


def test_the_link_that_tufs_client_makes_is_kept(device: Device, foreign: Foreign) -> None:
    device.list_releases()
    assert (device.metadata / "root.json").is_symlink()
    assert clean_cache(device.metadata) == []
    foreign.put(link_to_file, device.metadata / "root.json")
    assert clean_cache(device.metadata) == [
        f"{device.metadata}/root.json is a symbolic link, expected a plain file: it was removed"
    ]

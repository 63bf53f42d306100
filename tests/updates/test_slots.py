import logging
import os
import shutil
from pathlib import Path

import pytest

from daemon.bundle.release import FILE_LIST_NAME, Release, file_list
from daemon.core.errors import UpdateError
from daemon.updates.slots import MB, RESERVE_BYTES, Slots, check_integrity, room_problem
from daemon.updates.state import UpdateState
from daemon.updates.state_file import StateFile, load_or_set_aside
from daemon.updates.transitions import pin
from tests.helpers.plain_bundles import release_of, write_bundle

ROOM = 10 * MB
NO_ROOM = "1 MB have to be written, 65 MB are free, and 64 MB must stay free"


def downloaded(store: Slots, tmp_path: Path, version: str) -> Release:
    directory = write_bundle(tmp_path / "source", version)
    release = release_of(directory)
    store.create()
    into = store.create_download_dir(release.content)
    shutil.copytree(directory, into, dirs_exist_ok=True)
    (into / FILE_LIST_NAME).write_bytes(file_list(release.files))
    return release


def nothing() -> None: ...


def test_a_promoted_download_is_intact(tmp_path: Path) -> None:
    store = Slots(tmp_path / "models", ROOM)
    release = downloaded(store, tmp_path, "0.5.0")
    assert not store.is_intact(release.content, nothing)
    store.promote(release.content)
    assert store.is_intact(release.content, nothing)
    downloaded(store, tmp_path, "0.5.0")
    (store.slot(release.content) / "bundle.yaml").unlink()
    assert not store.is_intact(release.content, nothing)
    store.promote(release.content)  # in the place of one that is not whole
    assert store.is_intact(release.content, nothing)


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("head.tflite", None, "No such file or directory: .*head.tflite"),
        ("head.tflite", b"", "head.tflite is damaged"),
        ("selftest/cases.yaml", b"x" * 700, "cases.yaml is damaged"),
        (FILE_LIST_NAME, None, "No such file or directory"),
        (FILE_LIST_NAME, b"0" * 64 + b" 1 bundle.yaml\n", "files.txt is damaged"),
    ],
)
def test_damage_is_reported(tmp_path: Path, path: str, content: bytes | None, reason: str) -> None:
    store = Slots(tmp_path / "models", ROOM)
    release = downloaded(store, tmp_path, "0.5.0")
    store.promote(release.content)
    file = store.slot(release.content) / path
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UpdateError, match=reason) as caught:
        check_integrity(store.slot(release.content), release.content, nothing)
    assert caught.value.kind == "disk"


def test_required_slots_and_the_latest_download_are_not_removed(tmp_path: Path) -> None:
    store = Slots(tmp_path / "models", ROOM)
    kept, gone = (downloaded(store, tmp_path, version) for version in ("0.5.0", "0.6.0"))
    store.promote(kept.content)
    store.promote(gone.content)
    older, newer = (downloaded(store, tmp_path, version) for version in ("0.7.0", "0.8.0"))
    os.utime(tmp_path / "models/partial" / older.content, (1, 1))
    (tmp_path / "models/trash" / "left").mkdir(parents=True)
    store.remove_unused({kept.content})
    names = sorted(str(path.relative_to(tmp_path / "models")) for path in (tmp_path / "models").glob("*/*"))
    assert names == sorted([f"slots/{kept.content}", f"partial/{newer.content}"])
    newest = downloaded(store, tmp_path, "0.9.0")
    store.remove_unused({newest.content})
    assert [path.name for path in (tmp_path / "models/partial").iterdir()] == [newest.content]


@pytest.mark.parametrize(
    ("missing", "free", "kept", "quota", "problem"),
    [
        (MB, RESERVE_BYTES + MB, 2 * MB, 2 * MB, None),
        (
            MB,
            RESERVE_BYTES + MB - 1,
            2 * MB,
            2 * MB,
            NO_ROOM,
        ),
        (0, 10**12, 2 * MB + 1, 2 * MB, "bundles would take 2 MB, models.quota_mb is 2"),
        (0, 10**12, 5 * MB // 2, 2 * MB, "bundles would take 2.5 MB, models.quota_mb is 2"),
    ],
)
def test_room(missing: int, free: int, kept: int, quota: int, problem: str | None) -> None:
    assert room_problem(missing, free, kept, quota) == problem


def test_directories_that_cannot_be_created_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the directory should be")
    with pytest.raises(UpdateError, match=r"the directory of bundles: .*models") as caught:
        Slots(tmp_path / "models", ROOM).create()
    assert caught.value.kind == "disk"


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 900, b'{"format":0}', b'{"active":{}}', b'{"stranger":1}'])
def test_a_damaged_state_is_set_aside(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        assert load_or_set_aside(path, UpdateState(), "") is None
    assert f"{path} is damaged" in caplog.text
    assert not path.exists() and (tmp_path / "state.damaged").read_bytes() == content
    again = StateFile(path, lambda: 0.0)
    assert again.state == UpdateState() and again.is_lost
    again.update(again.state)
    assert not StateFile(path, lambda: 0.0).is_lost


def test_save_changes_nothing_if_it_fails_and_update_writes_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state_file = StateFile(tmp_path / "state.json", lambda: 5.0)
    (tmp_path / "state.new").mkdir()
    wanted = pin(state_file.state, 0.0, on=True)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(UpdateError, match=r"state\.json cannot be written: Is a directory"):
                state_file.save(wanted)
    assert state_file.state == UpdateState() and len(caplog.records) == 1  # one clear line
    state_file.update(wanted)
    assert state_file.state.pinned and state_file.trouble is not None
    (tmp_path / "state.new").rmdir()
    state_file.retry()
    assert (
        state_file.trouble is None and load_or_set_aside(tmp_path / "state.json", UpdateState(), "") == state_file.state
    )


def test_a_state_file_that_is_removed_is_written_again_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "models" / "state.json"
    state_file = StateFile(path, lambda: 5.0)
    state_file.retry()
    assert not path.exists()  # there was none
    state_file.update(pin(state_file.state, 0.0, on=True))
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("in the place of the directory")
    for _ in range(3):
        state_file.retry()
    assert state_file.trouble is not None
    path.parent.unlink()
    state_file.retry()
    assert state_file.trouble is None and load_or_set_aside(path, UpdateState(), "") == state_file.state
    assert caplog.text.count("was removed while the daemon runs") == 1

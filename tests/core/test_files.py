import os
from pathlib import Path

import pytest

from daemon.core.files import (
    ForeignFile,
    check_own_directory,
    create_own,
    create_own_directory,
    open_regular,
    read_own,
    replace_file,
    set_aside,
)
from tests.helpers.hostile_files import FOREIGN, HOSTILE, Foreign, Kind, dangling_link, fifo, link_to_file

MOST = 1000


@pytest.fixture
def foreign(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "foreign")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own" / "state.json"


@pytest.mark.parametrize("kind", FOREIGN)
def test_only_a_plain_file_of_this_user_is_opened(path: Path, foreign: Foreign, kind: Kind) -> None:
    foreign.put(kind, path)
    with pytest.raises(ForeignFile) as caught:
        read_own(path, MOST)
    assert caught.value.filename == str(path) and caught.value.strerror
    assert "expected" in caught.value.strerror


def test_a_plain_file_is_read_up_to_its_bound(path: Path) -> None:
    path.write_bytes(b"x" * MOST)
    assert read_own(path, MOST) == b"x" * MOST
    with pytest.raises(ForeignFile, match="has 1000 bytes, at most 999 are expected"):
        read_own(path, MOST - 1)
    with pytest.raises(FileNotFoundError):
        read_own(path.with_name("none"), MOST)


@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_lies_there_is_replaced_and_nothing_is_written_through_it(
    path: Path, foreign: Foreign, kind: Kind
) -> None:
    foreign.put(kind, path)
    replace_file(path, b"new")
    assert read_own(path, MOST) == b"new"
    foreign.check_untouched()


def test_nobody_can_open_a_new_file_before_it_has_its_permissions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[int] = []
    set_mode = os.fchmod

    def fchmod(descriptor: int, mode: int) -> None:
        created.append(os.fstat(descriptor).st_mode & 0o777)
        set_mode(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    replace_file(path, b"secret", 0o640)
    assert (created, path.stat().st_mode & 0o777) == ([0o600], 0o640)


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind.__name__ != "directory"])
def test_a_file_under_the_temporary_name_is_replaced(path: Path, foreign: Foreign, kind: Kind) -> None:
    foreign.put(kind, path.with_suffix(".new"))
    replace_file(path, b"new")
    assert read_own(path, MOST) == b"new" and not os.path.lexists(path.with_suffix(".new"))
    foreign.put(kind, path.with_name("created"))
    with create_own(path.with_name("created")) as file:
        file.write(b"created")
    assert read_own(path.with_name("created"), MOST) == b"created"
    foreign.check_untouched()


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind.__name__ != "directory"])
def test_a_directory_is_made_in_the_place_of_whatever_lies_there(path: Path, foreign: Foreign, kind: Kind) -> None:
    foreign.put(kind, path)
    assert create_own_directory(path)
    check_own_directory(path)
    assert create_own_directory(path) is None
    foreign.check_untouched()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another user's directory")
def test_another_users_directory_is_set_aside_with_its_content(path: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"theirs")
    os.chown(path, 12345, 12345)
    assert create_own_directory(path) == f"belongs to user 12345, expected user {os.geteuid()} or root"
    assert (path.with_suffix(".damaged") / "file").read_bytes() == b"theirs"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes another user's directory")
def test_root_reads_the_files_of_the_user_who_owns_the_directory(path: Path) -> None:
    directory = path.parent / "theirs"
    directory.mkdir()
    (directory / "file").write_bytes(b"x")
    for each, owner in ((directory, 12345), (directory / "file", 12345)):
        os.chown(each, owner, owner)
    assert read_own(directory / "file", 1) == b"x"
    os.chown(directory / "file", 12346, 12346)
    with pytest.raises(ForeignFile, match="belongs to user 12346"):
        read_own(directory / "file", 1)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("older", [None, *HOSTILE])
def test_anything_can_be_set_aside(path: Path, foreign: Foreign, kind: Kind, older: Kind | None) -> None:
    if older is not None:
        foreign.put(older, path.with_suffix(".damaged"))
    foreign.put(kind, path)
    aside = set_aside(path)
    assert aside == path.with_suffix(".damaged") and not os.path.lexists(path) and os.path.lexists(aside)
    foreign.check_untouched()


def test_an_operators_file_may_be_a_link_but_is_a_plain_file(path: Path, foreign: Foreign) -> None:
    foreign.put(link_to_file, path)
    with open_regular(path) as file:
        assert file.read() == foreign.file.read_bytes()
    for kind, error in ((fifo, OSError), (dangling_link, FileNotFoundError)):
        foreign.put(kind, path.with_name(kind.__name__))
        with pytest.raises(error):
            open_regular(path.with_name(kind.__name__))

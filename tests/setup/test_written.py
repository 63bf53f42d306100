"""A config is written as a whole, after a backup, for those alone who may read it."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.errors import Refused
from daemon.core.secret_files import read_secret
from daemon.setup.answers import password
from daemon.setup.written import Place, alone, check_writable, write

NOBODY = 65_534


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_new_config_and_its_password_are_for_their_owner_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "new" / "config.yaml")
    check_writable(place)
    assert write(place, "node: a\n", "secret", "X") == []
    assert (place.config.read_text(), place.password_file.read_text()) == ("node: a\n", "secret\n")
    assert (mode(place.config), mode(place.password_file)) == (0o600, 0o600)


def test_the_group_of_the_service_may_read_both(tmp_path: Path) -> None:
    place = Place(tmp_path / "config.yaml", group=NOBODY)
    write(place, "node: a\n", "secret", "X")
    for path in (place.config, place.password_file):
        assert (mode(path), path.stat().st_gid) == (0o640, NOBODY)


def test_what_was_there_is_kept_and_equal_files_need_no_backup(tmp_path: Path) -> None:
    place = Place(tmp_path / "config.yaml")
    place.config.write_text("old\n")
    place.config.chmod(0o644)
    (first,) = write(place, "new\n", "one", "X")
    assert (first.name, first.read_text(), mode(first)) == ("config.yaml.before-setup-X", "old\n", 0o640)
    assert write(place, "new\n", "one", "X") == []
    assert [path.name for path in write(place, "newer\n", "two", "X")] == [
        "mqtt-password.before-setup-X",
        "config.yaml.before-setup-X-2",
    ]
    assert (tmp_path / "mqtt-password.before-setup-X").read_text() == "one\n"
    assert mode(tmp_path / "mqtt-password.before-setup-X") == 0o600


def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "c.yaml").write_text("old\n")
    link = tmp_path / "config.yaml"
    link.symlink_to("real/c.yaml")
    write(Place(link), "new\n", "secret", "X")
    assert link.is_symlink() and link.read_text() == "new\n"
    assert names(tmp_path / "real") == {"c.yaml", "c.yaml.before-setup-X", "mqtt-password"}


@pytest.mark.parametrize("was_there", [True, False])
def test_nothing_is_half_written_when_the_config_cannot_be(tmp_path: Path, *, was_there: bool) -> None:
    place = Place(tmp_path / "config.yaml")
    # its new text has no place: a directory with something in it is in the way
    (tmp_path / "config.new" / "x").mkdir(parents=True)
    if was_there:
        place.config.write_text("old\n")
        place.password_file.write_text("old\n")
    before = names(tmp_path)
    with pytest.raises(Refused, match="nothing was changed"):
        write(place, "new\n", "new", "X")
    assert names(tmp_path) == before
    assert not was_there or (place.config.read_text(), place.password_file.read_text()) == ("old\n", "old\n")


def test_a_password_that_stays_the_same_outlives_a_config_that_cannot_be_written(tmp_path: Path) -> None:
    place = Place(tmp_path / "config.yaml")
    write(place, "old\n", "secret", "X")
    (tmp_path / "config.new" / "x").mkdir(parents=True)
    with pytest.raises(Refused, match="nothing was changed"):
        write(place, "new\n", "secret", "X")
    assert (place.config.read_text(), place.password_file.read_text()) == ("old\n", "secret\n")


@pytest.mark.parametrize("steps", range(9))
def test_a_program_that_is_killed_at_any_step_leaves_whole_files_and_a_backup_of_each_it_has_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    place = Place(tmp_path / "config.yaml")
    write(place, "old\n", "old", "X")
    flush, flushed = os.fsync, itertools.count()

    def fsync(descriptor: int) -> None:
        if next(flushed) == steps:
            raise SystemExit
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    # two backups and two files, each with its directory
    if steps < 8:
        with pytest.raises(SystemExit):
            write(place, "new\n", "new", "X")
    else:
        write(place, "new\n", "new", "X")
    for path in (place.config, place.password_file):
        kept = path.with_name(f"{path.name}.before-setup-X")
        assert path.read_text() == "old\n" or (path.read_text(), kept.read_text()) == ("new\n", "old\n")
    monkeypatch.undo()
    write(place, "newer\n", "newer", "Y")
    assert (place.config.read_text(), place.password_file.read_text()) == ("newer\n", "newer\n")


def test_a_place_where_nothing_can_be_written_is_told_before_any_question(tmp_path: Path) -> None:
    # nor may root write into a file as if it were a directory
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="sudo perceptd setup"):
        check_writable(Place(tmp_path / "file" / "config.yaml"))


@pytest.mark.parametrize(
    ("owner", "mode", "is_safe"),
    [(0, 0o755, True), (NOBODY, 0o700, False), (0, 0o1777, False), (0, 0o777, False)],
)
def test_root_writes_only_where_nobody_else_can(tmp_path: Path, owner: int, mode: int, *, is_safe: bool) -> None:
    theirs = tmp_path / "theirs"
    (theirs / "new").mkdir(parents=True)
    os.chown(theirs, owner, owner)
    theirs.chmod(mode)
    link = tmp_path / "link"
    link.symlink_to(theirs)
    for directory in (theirs, theirs / "missing", link):
        if is_safe:
            check_writable(Place(directory / "config.yaml"))
        else:
            with pytest.raises(Refused, match="theirs: somebody else than root may write there"):
                check_writable(Place(directory / "config.yaml"))


def test_root_writes_below_a_directory_like_tmp_if_the_next_one_is_its_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "own").mkdir()
    check_writable(Place(tmp_path / "own" / "config.yaml"))


def test_two_setups_do_not_write_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path / "new" / "config.yaml")
    with alone(place), pytest.raises(Refused, match="another perceptd setup is running"), alone(place):
        pass
    with alone(place):
        pass


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_each_password_that_is_accepted_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        accepted = password(text)
    except ValueError:
        assert "\n" in text or "\r" in text
        return
    place = Place(tmp_path_factory.mktemp("place") / "config.yaml")
    write(place, "node: a\n", accepted, "X")
    assert read_secret(place.password_file, "mqtt.password_file") == text

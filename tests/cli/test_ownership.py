"""As whom a command of root works."""

import os
from pathlib import Path

import pytest

from daemon.cli.ownership import as_owner

USER, GROUP = 12345, 12346


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_acts_as_the_owner_of_a_directory_without_groups_of_its_own(tmp_path: Path) -> None:
    os.chown(tmp_path, USER, GROUP)
    before = os.getgroups()
    os.setgroups([*before, 27])
    try:
        with as_owner(tmp_path):
            assert (os.geteuid(), os.getegid(), os.getgroups()) == (USER, GROUP, [])
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, [*before, 27])
    finally:
        os.setgroups(before)


def test_an_owner_stays_who_it_is(tmp_path: Path) -> None:
    with as_owner(tmp_path):
        assert os.geteuid() == tmp_path.stat().st_uid

"""Whose files a command of root opens and makes. Light: `perceptd page` imports it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Run a block of a command of root as the user who owns a directory. Raises OSError."""
    status = directory.stat()
    if os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def give_to_caller(path: Path) -> None:
    """Give a new file or directory to the person who runs the command with sudo. Raises OSError."""
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        os.chown(path, int(user), int(group), follow_symlinks=False)

"""Damage to a file, and what may lie in the place of a file that a program has written."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

SPARSE_BYTES = 1 << 34
STRANGER = 12345
SECRET = b"content of somebody else's file"


def truncate(path: Path) -> None:
    os.truncate(path, 1)


def overwrite(path: Path) -> None:
    """Write other content of the same size into the same inode, as `cp` does."""
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(bytes(byte ^ 0xFF for byte in content))


def fifo(path: Path, _foreign: Path) -> None:
    os.mkfifo(path)


def link_to_zero(path: Path, _foreign: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_file(path: Path, foreign: Path) -> None:
    path.symlink_to(foreign)


def link_to_directory(path: Path, foreign: Path) -> None:
    path.symlink_to(foreign.parent)


def dangling_link(path: Path, foreign: Path) -> None:
    path.symlink_to(foreign.with_name("none"))


def directory(path: Path, _foreign: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(b"in a directory")


def hard_link(path: Path, foreign: Path) -> None:
    path.hardlink_to(foreign)


def huge(path: Path, _foreign: Path) -> None:
    path.touch()
    os.truncate(path, SPARSE_BYTES)


def unix_socket(path: Path, _foreign: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{(opened := os.open(path.parent, os.O_PATH))}/{path.name}")
        os.close(opened)


def of_stranger(path: Path, _foreign: Path) -> None:
    path.write_bytes(b"{}")
    os.chown(path, STRANGER, STRANGER)


def garbage(path: Path, _foreign: Path) -> None:
    path.write_bytes(b"\0\xff[[[" * 1000)


Kind = Callable[[Path, Path], None]

# each makes something at the first path; the second is another user's file
FOREIGN: list[Kind] = [fifo, link_to_zero, link_to_file, link_to_directory, dangling_link, directory, hard_link, huge]
FOREIGN += [unix_socket, *([of_stranger] if os.geteuid() == 0 else [])]
HOSTILE: list[Kind] = [*FOREIGN, garbage]


class Foreign:
    """Another user's directory with one file, and whether it is as it was."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.file = directory / "secret"
        self.file.write_bytes(SECRET)

    def put(self, kind: Kind, path: Path) -> None:
        """Put something hostile in the place of a file or directory."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        kind(path, self.file)

    def check_untouched(self) -> None:
        """Assert that nobody has written through a link."""
        assert [path.name for path in self.file.parent.iterdir()] == [self.file.name]
        assert self.file.read_bytes() == SECRET

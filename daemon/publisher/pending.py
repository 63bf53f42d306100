"""Signed documents on their way to where they are served: all of them get there, whenever we are interrupted.

They are written aside first, and that directory is renamed; from then on they will be put in place, if need be by the
next command. Each replaces what devices see only when all it names is there.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from daemon.files import replace_file, sync_directory
from daemon.publisher.contents import SERVED_FILE
from daemon.publisher.last import LastSigned

ORDER = ("targets", "snapshot", "timestamp", "root")
"""Root is last: its new keys have signed all that is there by then, and the old ones too, where they were at hand."""


class Pending:
    """The documents that are to be put in place, in a directory beside the one that is served."""

    def __init__(self, directory: Path, metadata: Path, root: Path, last: LastSigned) -> None:
        """`metadata` is served; `root` is the file that holds the newest root; `last` learns what was put in place."""
        self._directory, self._metadata, self._root, self._last = directory, metadata, root, last

    def put(self, files: Mapping[str, bytes]) -> None:
        """Put documents in place, by their names below metadata/. Raises OSError."""
        new = self._directory.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        for name, content in files.items():
            replace_file(new / name, content)
        new.rename(self._directory)
        sync_directory(self._directory.parent)
        self.finish()

    def finish(self) -> None:
        """Put in place what an interrupted command has left, if anything. Raises OSError."""
        if not self._directory.is_dir():
            return
        paths = sorted(self._directory.glob("*.json"), key=lambda path: ORDER.index(_role(path)))
        contents = {path: path.read_bytes() for path in paths}
        self._last.note(contents.values())
        for path, content in contents.items():
            replace_file(self._metadata / path.name, content, SERVED_FILE)
            if _role(path) == "root":
                replace_file(self._root, content)
        shutil.rmtree(self._directory)


def _role(path: Path) -> str:
    return path.name.split(".")[-2]

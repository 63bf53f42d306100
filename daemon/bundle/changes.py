"""Compares the directory of a bundle with what was read from it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from daemon.bundle.bundle import Bundle
from daemon.bundle.manifest import SELFTEST_DIRECTORY
from daemon.bundle.release import MAX_FILES
from daemon.core.files import open_regular
from daemon.core.sealed import CHUNK_BYTES, MAX_BYTES

# of files in a message
MAX_NAMED = 3

# what a file looks like without reading it: device, inode, size, and the times of its latest changes
Look = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was when it was hashed; `sha256` is None where it could not be read."""

    look: Look | None
    sha256: str | None


@dataclass
class DirectoryCheck:
    """Looks for files of a bundle that differ from what runs. Used by one thread.

    Manifest and models are compared with what was loaded. Files of the self-test are compared with the first look.
    A file is read only when its size, times or inode have changed. So a copy with equal content is no change.
    """

    bundle: Bundle
    _expected: dict[str, str | None] = field(init=False)
    _seen: dict[str, _Seen] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._expected = dict(self.bundle.hashes)
        for path in _selftest_files(self.bundle.directory):
            name = str(path.relative_to(self.bundle.directory))
            self._seen[name] = _hashed(path)
            self._expected[name] = self._seen[name].sha256

    def changes(self) -> list[str]:
        """Return what has changed, one text for each file. Waits for the disk."""
        found = []
        for name, expected in self._expected.items():
            path = self.bundle.file(name)
            seen = self._seen.get(name)
            look = _look(path)
            if seen is None or seen.look != look:
                seen = self._seen[name] = _hashed(path)
            if seen.sha256 != expected:
                found.append(f"{name} {_what(seen)}")
        return found


def changes_text(bundle: Bundle, changes: list[str]) -> str | None:
    """Return one sentence for health and log; None where nothing has changed."""
    if not changes:
        return None
    more = f" and {len(changes) - MAX_NAMED} more" if len(changes) > MAX_NAMED else ""
    return (
        f"{bundle.directory} differs from {bundle.manifest.id}, which runs from memory:"
        f" {', '.join(changes[:MAX_NAMED])}{more}; restart perceptd to use the directory as it is now,"
        " or restore the files"
    )


def _what(seen: _Seen) -> str:
    if seen.look is None:
        return "is missing"
    return "cannot be read" if seen.sha256 is None else "has changed"


def _selftest_files(directory: Path) -> list[Path]:
    try:
        return [path for path in sorted((directory / SELFTEST_DIRECTORY).glob("*"))[:MAX_FILES] if path.is_file()]
    except OSError:  # as if there were none: nothing of them runs
        return []


def _look(path: Path) -> Look | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hashed(path: Path) -> _Seen:
    """Return the file as it is now. A file that changes meanwhile is read again at the next look."""
    look, digest, size = _look(path), hashlib.sha256(), 0
    try:
        with open_regular(path) as file:
            while size <= MAX_BYTES and (chunk := file.read(CHUNK_BYTES)):
                size += len(chunk)
                digest.update(chunk)
    except OSError:
        return _Seen(look, None)
    return _Seen(look, digest.hexdigest())

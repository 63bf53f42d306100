"""What is costly to make and serves many runs: kept outside the checkout, by the hash of what it is made of."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DIRECTORY = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perceptd-tests"
UNUSED_S = 7 * 24 * 3600.0
MOST = 3
"""Of one name so many entries stay; each of them was used within UNUSED_S."""


def key_of(*parts: str | bytes) -> str:
    """A short hash of everything that something is made of."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def cached(name: str, key: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """The path of the entry, which `make` makes at the path that it is given, unless it is there already.

    Other processes wait until it is made, and see it whole or not at all. While the block lasts nobody removes it.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    path = DIRECTORY / f"{name}-{key}"
    with contextlib.ExitStack() as in_use:
        with _locked(path, "making", fcntl.LOCK_EX):
            if not path.exists():
                begun = path.with_suffix(".begun")
                _remove(begun)
                make(begun)
                begun.rename(path)
            in_use.enter_context(_locked(path, "used", fcntl.LOCK_SH))
        path.with_suffix(".used").touch()
        _remove_old(name, path)
        yield path


@contextlib.contextmanager
def _locked(entry: Path, what: str, kind: int) -> Iterator[None]:
    """Hold a lock of an entry."""
    descriptor = os.open(entry.with_suffix(f".{what}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _remove_old(name: str, but: Path) -> None:
    """Remove entries of this name that were not used for long, or that are too many; not those in use."""
    used = {path.with_suffix(""): path.stat().st_mtime for path in DIRECTORY.glob(f"{name}-*.used")}
    entries = sorted((entry for entry in used if entry.exists()), key=lambda entry: used[entry], reverse=True)
    at_once = fcntl.LOCK_EX | fcntl.LOCK_NB
    for place, entry in enumerate(entries):
        if entry == but or (place < MOST and time.time() - used[entry] < UNUSED_S):
            continue
        with contextlib.suppress(BlockingIOError), _locked(entry, "making", at_once), _locked(entry, "used", at_once):
            _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""A cache of costly files for many test runs: outside the checkout, keyed by the hash of their inputs."""

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

# entries of one name that are retained, if they were used within UNUSED_S
MAX_ENTRIES = 3


def key_of(*parts: str | bytes) -> str:
    """Return a short hash of all inputs of an entry."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def cached(name: str, key: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the path of the entry; `make` creates it at a given path unless it exists.

    Other processes wait until the entry is complete. It is not removed during the block.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    path = DIRECTORY / f"{name}-{key}"
    with contextlib.ExitStack() as locks:
        with _locked(path, "making", fcntl.LOCK_EX):
            if not path.exists():
                unfinished = path.with_suffix(".begun")
                _remove(unfinished)
                make(unfinished)
                unfinished.rename(path)
            locks.enter_context(_locked(path, "used", fcntl.LOCK_SH))
        path.with_suffix(".used").touch()
        _remove_old(name, path)
        yield path


@contextlib.contextmanager
def _locked(entry: Path, what: str, kind: int) -> Iterator[None]:
    """Hold a lock of an entry during the block."""
    descriptor = os.open(entry.with_suffix(f".{what}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _remove_old(name: str, but: Path) -> None:
    """Remove entries of this name that were not used for long or are too many, but none in use."""
    used = {path.with_suffix(""): path.stat().st_mtime for path in DIRECTORY.glob(f"{name}-*.used")}
    entries = sorted((entry for entry in used if entry.exists()), key=lambda entry: used[entry], reverse=True)
    at_once = fcntl.LOCK_EX | fcntl.LOCK_NB
    for place, entry in enumerate(entries):
        if entry == but or (place < MAX_ENTRIES and time.time() - used[entry] < UNUSED_S):
            continue
        with contextlib.suppress(BlockingIOError), _locked(entry, "making", at_once), _locked(entry, "used", at_once):
            _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""The commit that packages are made of."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked_files(parts: tuple[str, ...]) -> list[str]:
    """Return the files below `parts` that git knows, relative to the checkout, by name."""
    return sorted(name for name in _git("ls-files", "-z", "--", *parts).split("\0") if name)


def commit() -> str:
    """Return the commit that is checked out, 40 hexadecimal digits."""
    return _git("rev-parse", "HEAD").strip()


def commit_time_s() -> int:
    """Return the time that every file of a package has: SOURCE_DATE_EPOCH, else that of the commit, since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))


def changed_files() -> list[str]:
    """Return the files that git knows and that differ from the commit."""
    return _git("diff", "--name-only", "HEAD").splitlines()


def _git(*arguments: str) -> str:
    # a checkout may belong to another user than root, who builds
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout

"""Ways in which an SQLite file is damaged, for tests that set it aside."""

import os
import sqlite3
from pathlib import Path


def cut_off(path: Path) -> None:
    """Cut off the end, within a page."""
    os.truncate(path, path.stat().st_size - 5000)


def zeros(path: Path) -> None:
    """Overwrite three pages with zeros."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(3 * 4096))


def other_version(path: Path) -> None:
    """Give the file a version that no program writes."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = -1")
    database.close()

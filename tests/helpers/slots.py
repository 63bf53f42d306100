"""Installed bundles in the directory of the updater."""

import shutil
from pathlib import Path

from daemon.bundle.release import FILE_LIST_NAME, Release, file_list
from daemon.updates.state import Slot, slot_of


def put(store: Path, bundle: Path, release: Release) -> Slot:
    """Copy the bundle's files into a slot; return the slot."""
    directory = store / "slots" / release.content
    for entry in release.files:
        (directory / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle / entry.path, directory / entry.path)
    (directory / FILE_LIST_NAME).write_bytes(file_list(release.files))
    return slot_of(release)

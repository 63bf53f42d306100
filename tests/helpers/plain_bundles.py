"""Bundles as the updater stores them: directories of files whose content does not matter."""

import hashlib
from pathlib import Path

from daemon.bundle.release import FileEntry, Release, ReleaseInfo

SIZES = {"audio.tflite": 9_000, "head.tflite": 1_500, "selftest/cases.yaml": 700}


def write_bundle(source: Path, version: str, *, name: str = "digits", shared: bool = True) -> Path:
    """Write a bundle to SOURCE/NAME/VERSION; if `shared`, all versions have the same audio encoder."""
    directory = source / name / version
    (directory / "selftest").mkdir(parents=True, exist_ok=True)
    (directory / "bundle.yaml").write_text(f"{name}@{version}\n")
    for path, size in SIZES.items():
        seed = path if shared and path == "audio.tflite" else f"{path} {version}"
        (directory / path).write_bytes((hashlib.sha256(seed.encode()).digest() * (size // 32 + 1))[:size])
    return directory


def entries_of(directory: Path) -> tuple[FileEntry, ...]:
    """Return the entries of the directory's files as they are."""
    files = [
        FileEntry(
            path=str(path.relative_to(directory)),
            length=path.stat().st_size,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in directory.rglob("*")
        if path.is_file()
    ]
    return tuple(sorted(files, key=lambda entry: entry.path))


def release_of(directory: Path, *, needs: str = "0.1.0", memory_mb: int = 1) -> Release:
    """Return the release of the directory NAME/VERSION."""
    signed = ReleaseInfo(name=directory.parent.name, version=directory.name, needs_perceptd=needs, memory_mb=memory_mb)
    return Release(signed=signed, files=entries_of(directory))

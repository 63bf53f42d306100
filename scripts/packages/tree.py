"""The files of an installation in /opt/perceptd: the same for a Debian package and an image."""

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from daemon import __version__
from packages.left_out import is_left_out
from packages.source import ROOT, tracked_files
from packages.stripped import strip_libraries
from packages.targets import Target
from packages.wheels import wheels_of

PROGRAM = PurePosixPath("/opt/perceptd")
# what of a checkout is installed. A package is no checkout: it has no scripts, tests and locks
PARTS = (
    "daemon",
    "models",
    "docs",
    "systemd",
    "config.yaml",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
)
COMMAND = """#!/opt/perceptd/.venv/bin/python3
import sys

from daemon.cli.main import main

sys.exit(main())
"""


def build_tree(target: Target, destination: Path, cache: Path) -> None:
    """Write the files of an installation below `destination`, which stands for /.

    These are /opt/perceptd, with its virtual environment, and the link /usr/bin/perceptd. Each file has mode 644 or
    755, whatever the umask. Raises NoWheels when the wheels cannot be had; `cache` keeps them.
    """
    program = destination / PROGRAM.relative_to("/")
    for name in tracked_files(PARTS):
        _copy(ROOT / name, program / name)
    site_packages = program / f".venv/lib/python{target.python}/site-packages"
    for wheel in wheels_of(target, cache):
        _unpack(wheel, site_packages)
    strip_libraries(target, site_packages)
    _write_environment(target, program / ".venv", site_packages)
    command = destination / "usr/bin/perceptd"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.symlink_to(PROGRAM / ".venv/bin/perceptd")
    for directory in [destination, *destination.rglob("*")]:
        if directory.is_dir() and not directory.is_symlink():
            directory.chmod(0o755)


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write one file of a package, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
    else:
        shutil.copyfile(source, target)
        target.chmod(0o644)


def _unpack(wheel: Path, site_packages: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if path.parts[0].endswith(".data"):
                if path.parts[1] not in ("purelib", "platlib"):
                    continue  # programs and headers of libraries
                path = PurePosixPath(*path.parts[2:])
            if entry.is_dir() or is_left_out(str(path)):
                continue
            target = site_packages / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            target.chmod(0o644)


def _write_environment(target: Target, environment: Path, site_packages: Path) -> None:
    python = f"/usr/bin/python{target.python}"
    binaries = environment / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python3").symlink_to(python)
    (binaries / "python").symlink_to("python3")
    write(binaries / "perceptd", COMMAND.encode(), 0o755)
    settings = ("home = /usr/bin", "include-system-site-packages = false", f"version = {target.python}")
    write(environment / "pyvenv.cfg", "\n".join((*settings, f"executable = {python}\n")).encode())
    # relative to this folder: the daemon beside this environment, wherever the tree is unpacked
    write(site_packages / "perceptd.pth", b"../../../..\n")
    metadata = f"Metadata-Version: 2.1\nName: perceptd\nVersion: {__version__}\n"
    write(site_packages / f"perceptd-{__version__}.dist-info/METADATA", metadata.encode())

"""Builds the Debian package of a target. Two builds of one commit give the same bytes."""

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

from daemon import __version__
from packages.sbom import Product, needed, write_evidence
from packages.source import ROOT, commit, commit_time_s
from packages.system import write_system_files
from packages.targets import Target
from packages.tree import build_tree, write
from packages.wheels import wheels_of

DEBIAN = ROOT / "scripts/packages/debian"
MAINTAINER_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")
# read by each maintainer script, which must be one file
STEPS = "steps.sh"
# options of dpkg-deb. -z6 takes five times as long as -z1, for a tenth of the size
SMALL = ("-Zxz", "-z1")
# for tests, which unpack it at once
UNCOMPRESSED = ("-Znone",)


def package_version(target: Target) -> str:
    """Return the version of the package, such as 0.8.0+deb12. An upgrade to Debian 13 takes +deb13, which is higher."""
    return f"{__version__}+deb{target.debian}"


def build_deb(
    target: Target, out: Path, cache: Path, compression: tuple[str, ...] = SMALL, version: str | None = None
) -> Path:
    """Build the package of this target into `out`, and return its file.

    `cache` keeps the wheels. `version` is that of the package, by default that of the daemon. Raises NoWheels when
    the wheels cannot be had, and CalledProcessError when a tool fails.
    """
    version = version or package_version(target)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"perceptd_{version}_{target.arch}.deb"
    with tempfile.TemporaryDirectory(prefix=f"perceptd-{target.name}-") as directory:
        root = Path(directory) / "root"
        build_tree(target, root, cache)
        _write_evidence(target, root, version, cache)
        write_system_files(target, root, version, _field("Maintainer"))
        _write_control(target, root, version)
        _settle(root, commit_time_s())
        pack(root, file, compression)
    return file


def pack(root: Path, file: Path, compression: tuple[str, ...]) -> None:
    """Make a package of the tree `root`. Raises CalledProcessError; a build that is cut off leaves no such file."""
    partial = file.with_name(f"{file.name}.partial")
    command = ["dpkg-deb", *compression, "--root-owner-group", "--build", str(root), str(partial)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(commit_time_s())}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    partial.replace(file)


def _write_evidence(target: Target, root: Path, version: str, cache: Path) -> None:
    product = Product("perceptd", version, target.arch, commit=commit(), committed_at=commit_time_s())
    depends = _field("Depends").replace("@PYTHON@", target.python).split(",")
    write_evidence(root, product, wheels_of(target, cache), needed(depends))


def _field(name: str) -> str:
    (line,) = re.findall(rf"^{name}: (.*)$", (DEBIAN / "control").read_text(), re.MULTILINE)
    return str(line)


def _write_control(target: Target, root: Path, version: str) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    values = {
        "VERSION": version,
        "ARCHITECTURE": target.arch,
        "PYTHON": target.python,
        # in KiB, each file in whole ones, as dpkg-gencontrol counts
        "INSTALLED_SIZE": str(sum(-(-path.lstat().st_size // 1024) for path in files)),
    }
    control = root / "DEBIAN"
    write(control / "control", _filled((DEBIAN / "control").read_text(), values).encode())
    steps = (DEBIAN / STEPS).read_text()
    for name in MAINTAINER_SCRIPTS:
        script = (DEBIAN / name).read_text()
        write(control / name, _filled(script, {**values, "STEPS": steps}).encode(), 0o755)
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n"
        for path in files
        if not path.is_symlink()
    ]
    write(control / "md5sums", "".join(sums).encode())


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _settle(root: Path, time_s: int) -> None:
    """Give every file the same time, and a mode that does not depend on the umask of this build."""
    for path in [root, *root.rglob("*")]:
        os.utime(path, (time_s, time_s), follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)

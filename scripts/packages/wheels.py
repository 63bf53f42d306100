"""The wheels of a target: those that the lock names, downloaded by pip and compared with the lock's hashes."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename

from packages.source import ROOT
from packages.targets import Target

LOCK = ROOT / "requirements" / "runtime.lock"
# what builds the environment of a checkout, and is no part of a package
BUILD = ROOT / "requirements" / "build.in"


class NoWheels(Exception):
    """The wheels of a target cannot be had."""


@dataclass(frozen=True)
class Locked:
    """One package of the lock: its exact version, and the hashes of its files."""

    name: NormalizedName
    version: str
    sha256: frozenset[str]


def locked_packages(target: Target, lock: str, build: str) -> list[Locked]:
    """Return what the text of a lock names for this target, without what the text `build` names, by name."""
    left_out = {canonicalize_name(Requirement(line).name) for line in _lines(build)}
    packages = []
    for line in _lines(lock):
        requirement, *hashes = re.split(r"\s+--hash=sha256:", line)
        parsed = Requirement(requirement)
        if parsed.marker is not None and not parsed.marker.evaluate(target.environment):
            continue
        name = canonicalize_name(parsed.name)
        (exact,) = parsed.specifier
        if name not in left_out:
            packages.append(Locked(name, exact.version, frozenset(each.strip() for each in hashes)))
    return sorted(packages, key=lambda package: package.name)


def wheels_of(target: Target, cache: Path) -> list[Path]:
    """Return the wheels of this target, by name. They lie in a folder of `cache`, which pip fills the first time.

    Raises NoWheels when pip cannot download one of them, or when a file in the cache is not what the lock names.
    """
    packages = locked_packages(target, LOCK.read_text(), BUILD.read_text())
    wanted = "".join(
        f"{package.name}=={package.version} {' '.join(f'--hash=sha256:{each}' for each in sorted(package.sha256))}\n"
        for package in packages
    )
    directory = cache / f"{target.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    if not directory.is_dir():
        _download(target, wanted, directory)
    wheels = sorted(directory.glob("*.whl"))
    _compare(packages, wheels)
    return wheels


def _lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.strip().startswith("#")]


def _download(target: Target, wanted: str, directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=directory.parent))
    requirements = partial / "requirements.txt"
    requirements.write_text(wanted)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # the lock is complete: pip need not resolve, which it would do for the Python that it runs in
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--dest", str(partial)]
    command += ["--implementation", "cp", "--python-version", target.python]
    command += [option for abi in (f"cp{target.python.replace('.', '')}", "abi3", "none") for option in ("--abi", abi)]
    command += [option for platform in target.platforms for option in ("--platform", platform)]
    done = subprocess.run([*command, "--requirement", str(requirements)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(partial)
        raise NoWheels(f"pip could not download the wheels of {target.name}:\n{done.stderr.strip()}")
    requirements.unlink()
    partial.chmod(0o755)
    try:
        partial.rename(directory)
    except OSError:
        # another build has filled the same folder meanwhile
        shutil.rmtree(partial)


def _compare(packages: list[Locked], wheels: list[Path]) -> None:
    found = {}
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.name)
        found[name, str(version)] = wheel
    expected = {(package.name, package.version): package for package in packages}
    if differing := sorted(found.keys() ^ expected.keys()):
        names = ", ".join(f"{name} {version}" for name, version in differing)
        raise NoWheels(f"the wheels in the cache and the lock differ in {names}. Remove {wheels[0].parent}")
    for key, package in expected.items():
        if hashlib.sha256(found[key].read_bytes()).hexdigest() not in package.sha256:
            raise NoWheels(f"{found[key]} is not the file that the lock names. Remove {found[key].parent}")

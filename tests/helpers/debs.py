"""Debian packages for tests: that of this checkout, others of another version, and an apt repository of them."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon import __version__
from tests.helpers.cache import DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 600.0
# a package for tests is large, and made quickly
UNCOMPRESSED = "-Znone"

_BUILD = """
import sys
from pathlib import Path
from packages.deb import build_deb
from packages.targets import target_named
print(build_deb(target_named(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), (sys.argv[4],)))
"""


def architecture() -> str:
    """Return Debian's name of this machine's processor."""
    return run("dpkg", "--print-architecture").strip()


def built(suite: str, out: Path) -> Path:
    """Build the package of this checkout for a release of Debian and this machine's processor; return its file."""
    name = f"deb{ {'bookworm': 12, 'trixie': 13}[suite] }-{architecture()}"
    command = (sys.executable, "-c", _BUILD, name, str(out), str(DIRECTORY / "wheels"), UNCOMPRESSED)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILD_S, check=False, cwd=ROOT / "scripts", env=_environment()
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Path(done.stdout.splitlines()[-1])


def another(deb: Path, version: str, edits: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> Path:
    """Make a package of another version from one; `edits` replaces texts in files of daemon/."""
    full = field(deb, "Version").replace(__version__, version)
    root = deb.with_name(f"{version}.root")
    run("dpkg-deb", "--raw-extract", str(deb), str(root))
    for name, pairs in {"__init__.py": [(f'"{__version__}"', f'"{version}"')], **(edits or {})}.items():
        path = root / "opt/perceptd/daemon" / name
        text = path.read_text()
        for before, after in pairs:
            assert before in text, f"{name}: {before}"
            text = text.replace(before, after)
        path.write_text(text)
        _correct_sum(root, path)
    control = root / "DEBIAN/control"
    control.write_text(re.sub("^Version: .*$", f"Version: {full}", control.read_text(), flags=re.MULTILINE))
    file = deb.with_name(f"perceptd_{full}_{architecture()}.deb")
    run("dpkg-deb", UNCOMPRESSED, "--root-owner-group", "--build", str(root), str(file))
    shutil.rmtree(root)
    return file


def write_repository(directory: Path) -> None:
    """Make the packages of a directory an apt repository."""
    entries = []
    for deb in sorted(directory.glob("*.deb")):
        content = deb.read_bytes()
        control = run("dpkg-deb", "--field", str(deb)).strip()
        digest = hashlib.sha256(content).hexdigest()
        entries.append(f"{control}\nFilename: ./{deb.name}\nSize: {len(content)}\nSHA256: {digest}\n")
    (directory / "Packages").write_text("\n".join(entries))


def field(deb: Path, name: str) -> str:
    """Return a field of a package."""
    return run("dpkg-deb", "--field", str(deb), name).strip()


def run(*command: str) -> str:
    """Run a command of this machine, and return its output."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=BUILD_S).stdout


def _environment() -> dict[str, str]:
    return {
        "PYTHONPATH": f"{ROOT / 'scripts'}:{ROOT}",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }


def _correct_sum(root: Path, path: Path) -> None:
    sums, name = root / "DEBIAN/md5sums", str(path.relative_to(root))
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    sums.write_text(re.sub(rf"^\w+  {re.escape(name)}$", f"{digest}  {name}", sums.read_text(), flags=re.MULTILINE))

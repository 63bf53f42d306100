"""Debian packages for tests: that of this checkout, and others of another version."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packages.deb import UNCOMPRESSED, build_deb
from packages.targets import TARGETS, Target

from daemon import __version__
from tests.helpers.packages import ROOT, WHEELS

DPKG_S = 600.0

# builds a package of the checkout in which it runs
BUILD = """
import sys
from pathlib import Path
from packages.deb import UNCOMPRESSED, build_deb
from packages.targets import target_named
print(build_deb(target_named(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), UNCOMPRESSED))
"""


def target_of(suite: str) -> Target:
    """Return the target for a release of Debian and the processor of this machine."""
    architecture = run("dpkg", "--print-architecture").strip()
    return next(target for target in TARGETS if (target.suite, target.arch) == (suite, architecture))


def built(suite: str, out: Path) -> Path:
    """Build the package of this checkout for a release of Debian; return its file."""
    return build_deb(target_of(suite), out, WHEELS, UNCOMPRESSED)


def built_of_commit_before(suite: str, out: Path, version: str) -> Path:
    """Build the package of the commit before this one, which says that it has this version; return its file."""
    checkout = out / "commit-before"
    git = ("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "worktree")
    run(*git, "add", "--quiet", "--detach", str(checkout), "HEAD~1")
    try:
        module = checkout / "daemon/__init__.py"
        text = module.read_text()
        (of_commit,) = re.findall('^__version__ = "(.*)"$', text, re.MULTILINE)
        module.write_text(text.replace(of_commit, version))
        environment = {**os.environ, "PYTHONPATH": f"{checkout}/scripts:{checkout}"}
        command = (sys.executable, "-c", BUILD, target_of(suite).name, str(out), str(WHEELS))
        # it imports what lies in its own directory
        return Path(run(*command, directory=checkout, environment=environment).strip())
    finally:
        run(*git, "remove", "--force", str(checkout))


def another(deb: Path, version: str, edits: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> Path:
    """Make a package of another version from one; `edits` replaces texts in files of daemon/."""
    full = run("dpkg-deb", "--field", str(deb), "Version").strip().replace(__version__, version)
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
    file = deb.with_name(deb.name.replace(__version__, version))
    run("dpkg-deb", *UNCOMPRESSED, "--root-owner-group", "--build", str(root), str(file))
    shutil.rmtree(root)
    return file


def run(*command: str, directory: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a command of this machine, and return its output."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DPKG_S, cwd=directory, env=environment
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
    return done.stdout


def _correct_sum(root: Path, path: Path) -> None:
    sums, name = root / "DEBIAN/md5sums", str(path.relative_to(root))
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    sums.write_text(re.sub(rf"^\w+  {re.escape(name)}$", f"{digest}  {name}", sums.read_text(), flags=re.MULTILINE))

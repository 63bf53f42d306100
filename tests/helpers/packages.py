"""A Debian package of this checkout for this machine, built once and unpacked."""

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from packages.deb import UNCOMPRESSED, build_deb
from packages.targets import TARGETS, Target

from tests.helpers.cache import DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
WHEELS = DIRECTORY / "wheels"


@dataclass(frozen=True)
class Unpacked:
    """The file, and the folder that it was unpacked into."""

    target: Target
    deb: Path
    root: Path

    @property
    def program(self) -> Path:
        """What is /opt/perceptd on a device."""
        return self.root / "opt/perceptd"

    @property
    def python(self) -> Path:
        """The interpreter of its virtual environment, which leads to this machine's own."""
        return self.program / ".venv/bin/python3"


def target_of_this_machine() -> Target:
    """Return the target for this processor and the Python of this Debian."""
    fitting = [
        target
        for target in TARGETS
        if target.machine == platform.machine() and Path(f"/usr/bin/python{target.python}").exists()
    ]
    assert fitting, f"no package runs on this machine: {[target.name for target in TARGETS]} are built"
    return fitting[-1]


def unpacked_deb(directory: Path) -> Unpacked:
    """Build the package of this machine into a folder, and unpack it there."""
    target = target_of_this_machine()
    deb = build_deb(target, directory, WHEELS, UNCOMPRESSED)
    root = directory / "root"
    subprocess.run(["dpkg-deb", "--extract", str(deb), str(root)], check=True)
    return Unpacked(target, deb, root)

"""The Debian package of this machine, built and unpacked: it has what it needs, and works with its own Python."""

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import __version__
from tests.helpers.packages import ROOT, Unpacked, unpacked_deb

pytestmark = pytest.mark.xdist_group("package")

# a promise: what a package takes on a disk once it is installed, in bytes
LARGEST = 400_000_000
PROGRAM = Path(__file__).parents[1] / "helpers" / "unpacked_program.py"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return unpacked_deb(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def used(package: Unpacked) -> Any:
    """What the libraries of the package have done. -I: nothing of this checkout is imported."""
    done = subprocess.run([package.python, "-I", PROGRAM], check=True, capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)


def test_every_module_of_the_daemon_is_imported_from_the_package_alone(used: Any, package: Unpacked) -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "daemon").rglob("*.py")}
    names = {name.removesuffix(".__init__") for name in modules} - {"daemon", "daemon.__main__"}
    assert set(used["modules"]) == names
    assert used["daemon"] == str(package.program / "daemon/__init__.py")


def test_its_libraries_fit_resize_and_copy_films(used: Any) -> None:
    assert (used["fitted"], used["resized"], used["copied"]) == (True, [30, 40, 3], 5)


def test_its_command_runs_the_models_that_it_brings(package: Unpacked) -> None:
    command = [package.python, "-I", package.program / ".venv/bin/perceptd"]
    version = subprocess.run([*command, "--version"], check=True, capture_output=True, text=True)
    assert version.stdout == f"perceptd {__version__}\n"
    models = package.program / "models/digits"
    verified = subprocess.run([*command, "bundle", "verify", models], check=True, capture_output=True, text=True)
    assert "digits" in verified.stdout


def test_installed_with_its_bytecode_it_is_smaller_than_promised(package: Unpacked) -> None:
    subprocess.run([package.python, "-m", "compileall", "-q", package.program], check=True)
    used = subprocess.run(["du", "--summarize", "--block-size=1", package.root], check=True, capture_output=True)
    assert int(used.stdout.split()[0]) < LARGEST


def listed(package: Unpacked) -> Iterator[tuple[str, str, str]]:
    listing = subprocess.run(["dpkg-deb", "--contents", package.deb], check=True, capture_output=True, text=True)
    for line in listing.stdout.splitlines():
        mode, owner, *_, name = line.split(maxsplit=5)
        yield mode, owner, name.removeprefix("./")


def test_every_file_belongs_to_root_and_may_be_read_by_all(package: Unpacked) -> None:
    modes = {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx"}
    assert [entry for entry in listed(package) if entry[0] not in modes or entry[1] != "root/root"] == []


def test_it_has_what_the_system_needs_and_nothing_of_a_checkout(package: Unpacked) -> None:
    assert {path.name for path in package.program.iterdir()} == {
        *(".venv", "daemon", "models", "docs", "systemd", "evidence"),
        *("config.yaml", "pyproject.toml", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"),
    }
    libraries = {path.name.partition("-")[0] for path in package.root.rglob("*.dist-info")}
    assert libraries.isdisjoint({"pip", "setuptools", "flit_core", "scipy"})
    assert (package.root / "usr/bin/perceptd").readlink() == Path("/opt/perceptd/.venv/bin/perceptd")
    for name in (
        *(f"usr/lib/systemd/system/{unit.name}" for unit in (ROOT / "systemd").glob("*.s[eo][rc][vk]*")),
        "usr/lib/sysusers.d/perceptd.conf",
        "usr/lib/udev/rules.d/51-perceptd.rules",
        "usr/share/man/man1/perceptd.1.gz",
        "usr/share/bash-completion/completions/perceptd",
        "usr/share/zsh/vendor-completions/_perceptd",
        "opt/perceptd/evidence/bom.cdx.json",
    ):
        assert stat.S_ISREG((package.root / name).stat().st_mode), name


def test_what_asks_for_its_source_text_stands_in_the_documentation(package: Unpacked) -> None:
    listed = (package.program / "evidence/licences.md").read_text()
    rows = re.findall(
        r"^\| `?(?:\w+\.libs/)?([A-Za-z0-9]+)[^|]* \|(?: [^|]* \|)? ([^|]*GPL[^|]*) \|", listed, re.MULTILINE
    )
    names = {name for name, licence in rows if "exception" not in licence}
    assert {"libx264", "libx265", "libavcodec", "soxr", "nlopt"} <= names
    page = (package.program / "docs/packages.md").read_text()
    missing = {name for name in names if not name.startswith(("libav", "libsw")) and f"`{name}`" not in page}
    assert missing == set()

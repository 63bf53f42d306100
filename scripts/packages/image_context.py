"""What the Containerfile is given: the program as an archive. And the folder of the add-on for Home Assistant."""

import gzip
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from daemon import __version__
from packages.sbom import DebianPackage, Product, needed, write_evidence
from packages.source import ROOT, commit, commit_time_s
from packages.targets import Target
from packages.tree import build_tree, write
from packages.wheels import wheels_of

CONTAINER = Path(__file__).parent / "container"
ADDON = CONTAINER / "addon"
# the names of processors in Home Assistant and in Dockerfiles
HOME_ASSISTANT_ARCH = {"amd64": "amd64", "arm64": "aarch64"}
# what the Containerfile installs
PACKAGES = ("python3", "libportaudio2", "libpulse0", "ca-certificates", "tzdata")
REPOSITORY = "name: perceptd\n"


def make_tree(target: Target, tree: Path, cache: Path, packages: Sequence[DebianPackage] | None = None) -> Path:
    """Write the files of an installation with their evidence; return the path of the SBOM.

    `packages` are those of Debian around it; by default those that the Containerfile names. Raises NoWheels.
    """
    build_tree(target, tree, cache)
    product = Product("perceptd", __version__, target.arch, commit=commit(), committed_at=commit_time_s())
    return write_evidence(tree, product, wheels_of(target, cache), needed(PACKAGES) if packages is None else packages)


def pack_tree(tree: Path, archive: Path) -> None:
    """Write a folder as .tar.gz: its files in order, of root, all of the time of the commit."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(tree.rglob("*")):
            entry = tar.gettarinfo(path, str(path.relative_to(tree)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = commit_time_s()
            if entry.isreg():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)


def write_addon(targets: Sequence[Target], out: Path, cache: Path) -> Path:
    """Write a repository of add-ons with the one of perceptd, for these targets; return its folder. Raises NoWheels.

    Home Assistant builds the image itself: the folder of the add-on has the program and the Containerfile.
    """
    repository = out / "home-assistant"
    folder = repository / "perceptd"
    shutil.rmtree(repository, ignore_errors=True)
    write(repository / "repository.yaml", REPOSITORY.encode())
    for path in sorted(ADDON.rglob("*")):
        if path.is_file():
            write(folder / path.relative_to(ADDON), path.read_bytes())
    arches = [HOME_ASSISTANT_ARCH[target.arch] for target in targets]
    write(folder / "config.yaml", addon_config((ADDON / "config.yaml").read_text(), __version__, arches).encode())
    write(folder / "Dockerfile", (CONTAINER / "Containerfile").read_bytes())
    write(folder / "CHANGELOG.md", (ROOT / "CHANGELOG.md").read_bytes())
    for target, arch in zip(targets, arches, strict=True):
        with tempfile.TemporaryDirectory(prefix="perceptd-addon-") as work:
            make_tree(target, Path(work), cache)
            pack_tree(Path(work), folder / f"perceptd-{arch}.tar.gz")
    return repository


def addon_config(template: str, version: str, arches: Sequence[str]) -> str:
    """Return the configuration of the add-on with the version of the program, and the processors that it is for."""
    text = re.sub(r"^version: .*$", f'version: "{version}"', template, count=1, flags=re.MULTILINE)
    return re.sub(r"^arch: .*$", f"arch: [{', '.join(arches)}]", text, count=1, flags=re.MULTILINE)

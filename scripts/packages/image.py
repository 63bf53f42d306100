"""The image of a container: buildah follows the Containerfile. The same commit gives the same bytes each time.

It needs buildah and mmdebstrap, and root. buildah keeps its storage in a temporary folder.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon import __version__
from packages.image_archive import content_of, write_archive
from packages.image_context import CONTAINER, HOME_ASSISTANT_ARCH, make_tree, pack_tree
from packages.sbom import DebianPackage, installed
from packages.source import commit_time_s
from packages.targets import Target

# what the slim images of Debian leave out; with a space in the place of = mmdebstrap unpacks it
SLIM = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)
BUILD_S = 1800


class NoImage(Exception):
    """The image cannot be built."""


def build_image(target: Target, out: Path, cache: Path) -> Path:
    """Build the image of a target into `out`, with its SBOM beside it; return the archive.

    docker and podman load the archive. `cache` keeps the wheels. Raises NoImage, and NoWheels.
    """
    out.mkdir(parents=True, exist_ok=True)
    archive = out / f"perceptd_{__version__}_{target.arch}.image.tar"
    with tempfile.TemporaryDirectory(prefix="perceptd-image-") as directory:
        work = Path(directory)
        context = work / "context"
        context.mkdir()
        make_tree(target, work / "tree", cache)
        pack_tree(work / "tree", context / f"perceptd-{HOME_ASSISTANT_ARCH[target.arch]}.tar.gz")
        plain = work / "image.tar"
        follow(CONTAINER / "Containerfile", "perceptd", context, target, plain)
        evidence = make_tree(target, work / "again", cache, _installed(plain))
        shutil.copyfile(evidence, archive.with_suffix(".cdx.json"))
        write_archive(plain, archive)
    return archive


def follow(containerfile: Path, stage: str, context: Path, target: Target, plain: Path) -> None:
    """Let buildah follow a Containerfile up to a stage, and write the image as it comes from there. Raises NoImage."""
    with _storage() as storage:
        _buildah(storage, "from", "--name=base", "--arch", target.arch, "scratch")
        with tempfile.TemporaryDirectory(prefix="perceptd-base-") as directory:
            _buildah(storage, "add", "--quiet", "base", str(_base_tar(target, Path(directory))), "/")
        _buildah(storage, "config", "--cmd", "bash", "--arch", target.arch, "base")
        stamp = f"--timestamp={commit_time_s()}"
        _buildah(storage, "commit", "--quiet", stamp, "--rm", "base", "localhost/perceptd-base")
        name = f"localhost/perceptd:{__version__}"
        # chroot: RUN needs no runtime of containers. docker: the other format knows no health check
        build = ["--isolation=chroot", "--format=docker", stamp, "--layers=false", "--pull-never"]
        build += [f"--target={stage}", "--arch", target.arch, f"--tag={name}"]
        build += ["--build-arg=BASE=localhost/perceptd-base", f"--build-arg=BUILD_VERSION={__version__}"]
        build += [f"--build-arg=BUILD_ARCH={HOME_ASSISTANT_ARCH[target.arch]}"]
        _buildah(storage, "build", "--quiet", *build, "--file", str(containerfile), str(context))
        _buildah(storage, "push", "--quiet", name, f"docker-archive:{plain}:perceptd:{__version__}")


def _base_tar(target: Target, work: Path) -> Path:
    """Make a small Debian, like the slim images of Debian itself."""
    archive = work / "base.tar"
    options = [f"--dpkgopt={each}" for each in SLIM]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={target.arch}", *options]
    # of the host, and not the same on another
    command += ["--customize-hook=rm -f $1/etc/hostname $1/etc/resolv.conf"]
    _run([*command, target.suite, str(archive)], {"SOURCE_DATE_EPOCH": str(commit_time_s())})
    return archive


@contextmanager
def _storage() -> Iterator[list[str]]:
    """Give a block buildah's options for a storage of its own."""
    directory = Path(tempfile.mkdtemp(prefix="perceptd-buildah-"))
    try:
        yield [f"--root={directory}/root", f"--runroot={directory}/run"]
    finally:
        subprocess.run(["umount", f"{directory}/root/overlay"], check=False, capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)


def _buildah(storage: Sequence[str], *command: str) -> None:
    _run(["buildah", *storage, *command], {})


def _run(command: Sequence[str], more: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, env=os.environ | more, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except FileNotFoundError as error:
        raise NoImage(f"{command[0]} is not installed: apt-get install buildah mmdebstrap") from error
    except subprocess.TimeoutExpired as error:
        raise NoImage(f"{' '.join(command)} takes longer than {BUILD_S} s") from error
    if done.returncode != 0:
        raise NoImage(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def _installed(archive: Path) -> list[DebianPackage]:
    """Return the packages of Debian in an image, as its last layer says."""
    with tarfile.open(archive) as image:
        layers = [member for member in image if member.isreg() and member.name.endswith(".tar")]
        content = content_of(image, layers[-1].name)
        with tarfile.open(fileobj=content) as layer:
            return installed(content_of(layer, "var/lib/dpkg/status").read().decode())

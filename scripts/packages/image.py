"""The image of a container: buildah follows the Containerfile, and the archive has the same bytes each time.

It needs buildah and mmdebstrap, and root. buildah keeps its storage in a temporary folder.
"""

import gzip
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from daemon import __version__
from packages.targets import Target
from packages.tree import build_tree

CONTAINER = Path(__file__).parent / "container"
# the names of processors in Home Assistant and in Dockerfiles
HOME_ASSISTANT_ARCH = {"amd64": "amd64", "arm64": "aarch64"}
# what the slim images of Debian leave out
SLIM = (
    "path-exclude /usr/share/doc/*",
    "path-include /usr/share/doc/*/copyright",
    "path-exclude /usr/share/man/*",
    "path-exclude /usr/share/info/*",
    "path-exclude /usr/share/locale/*",
    "path-exclude /usr/share/lintian/*",
)
BUILD_S = 1800


class NoImage(Exception):
    """The image cannot be built."""


def build_image(target: Target, out: Path, cache: Path, epoch: int) -> Path:
    """Build the image of a target; return the archive that was written into `out`.

    docker and podman load it. `epoch` is the time that everything in it has. Raises NoImage.
    """
    version = __version__
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perceptd-image-")))
        storage = stack.enter_context(_storage())
        base = _base_tar(target, work, epoch)
        context = work / "context"
        context.mkdir()
        write_context(target, context, cache, epoch)
        _buildah(storage, "from", "--name=base", "--arch", target.arch, "scratch")
        _buildah(storage, "add", "--quiet", "base", str(base), "/")
        _buildah(storage, "config", "--cmd", "bash", "--arch", target.arch, "base")
        _buildah(storage, "commit", "--quiet", f"--timestamp={epoch}", "--rm", "base", "localhost/perceptd-base")
        name = f"localhost/perceptd:{version}"
        build = ["--isolation=chroot", "--format=docker", f"--timestamp={epoch}", "--layers=false", "--pull-never"]
        build += ["--target=perceptd", "--arch", target.arch, f"--tag={name}"]
        build += ["--build-arg=BASE=localhost/perceptd-base"]
        build += [f"--build-arg=BUILD_ARCH={HOME_ASSISTANT_ARCH[target.arch]}"]
        _buildah(storage, "build", "--quiet", *build, "--file", str(CONTAINER / "Containerfile"), str(context))
        archive = work / "image.tar"
        _buildah(storage, "push", "--quiet", name, f"docker-archive:{archive}:perceptd:{version}")
        packed = out / f"perceptd_{version}_{target.arch}.image.tar"
        _compress_layers(archive, packed)
    return packed


def write_context(target: Target, directory: Path, cache: Path, epoch: int) -> None:
    """Write the program of a target as the archive that the Containerfile adds."""
    with tempfile.TemporaryDirectory(prefix="perceptd-tree-") as folder:
        tree = Path(folder) / "tree"
        build_tree(target, tree, cache)
        archive = Path(folder) / "tree.tar"
        pack(tree, archive, epoch)
        _compress(archive, directory / f"perceptd-{HOME_ASSISTANT_ARCH[target.arch]}.tar.gz")


def pack(tree: Path, archive: Path, epoch: int) -> None:
    """Write a folder as tar: its files in order, of root, all of one time."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            entry = tar.gettarinfo(path, str(path.relative_to(tree)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = epoch
            if entry.isreg():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)


def _base_tar(target: Target, work: Path, epoch: int) -> Path:
    """Make a small Debian, like the slim images of Debian itself."""
    archive = work / "base.tar"
    options = [f"--dpkgopt={each}" for each in SLIM]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--architectures={target.arch}", *options]
    # of the host, and not the same on another
    command += ["--customize-hook=rm -f $1/etc/hostname $1/etc/resolv.conf"]
    _run([*command, target.suite, str(archive)], {"SOURCE_DATE_EPOCH": str(epoch)})
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


def _compress_layers(source: Path, target: Path) -> None:
    """Write the same archive of an image with its layers compressed: podman of Debian 12 loads no .tar.gz."""
    with tarfile.open(source) as plain, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as packed:
        for member in plain:
            content = plain.extractfile(member)
            if not member.isreg() or not member.name.endswith(".tar") or content is None:
                packed.addfile(member, content)
                continue
            with tempfile.TemporaryFile() as layer:
                with gzip.GzipFile(filename="", fileobj=layer, mode="wb", compresslevel=6, mtime=0) as compressed:
                    shutil.copyfileobj(content, compressed, 1 << 20)
                member.size = layer.tell()
                layer.seek(0)
                packed.addfile(member, layer)


def _compress(source: Path, target: Path) -> None:
    """Compress a file with gzip, without its name and time."""
    with (
        source.open("rb") as plain,
        target.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
    ):
        shutil.copyfileobj(plain, packed, 1 << 20)

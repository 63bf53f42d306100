"""The apt repository of built packages: what a web server serves as it is, with a signature if there is a key."""

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from pathlib import Path

from packages.targets import Target
from packages.tree import write

ORIGIN = "perceptd"
COMPONENT = "main"
# the public key, for signed-by= in a device's list of sources
PUBLIC_KEY = "perceptd.gpg"


def write_repository(debs: Sequence[tuple[Target, Path]], directory: Path, time_s: int, key: Path | None) -> None:
    """Add packages to the repository in `directory`, and write its indices anew. `time_s` is its date.

    Older packages stay, so that a device can go back to them.
    `key` is a file with a secret OpenPGP key, without a passphrase, as `gpg --export-secret-keys` writes it. Without
    a key the repository has no signature, and apt refuses it unless its sources say [trusted=yes].
    """
    pool = directory / "pool"
    for target, deb in debs:
        write(pool / target.suite / deb.name, deb.read_bytes())
    shutil.rmtree(directory / "dists", ignore_errors=True)
    for packages in sorted(pool.iterdir()):
        _write_suite(packages, directory, time_s)
    if key is not None:
        _sign(directory, key)


def _write_suite(packages: Path, directory: Path, time_s: int) -> None:
    """Write the indices of one release of Debian, whose packages are in the folder `packages`, which has its name."""
    suite = packages.name
    top = directory / "dists" / suite
    debs = sorted(packages.glob("*.deb"))
    architectures = sorted({deb.stem.rpartition("_")[2] for deb in debs})
    for architecture in architectures:
        entries = [_entry(deb, directory) for deb in debs if deb.stem.endswith(f"_{architecture}")]
        index = "\n".join(entries).encode()
        folder = top / COMPONENT / f"binary-{architecture}"
        write(folder / "Packages", index)
        write(folder / "Packages.gz", gzip.compress(index, 9, mtime=0))
    indices = sorted(path for path in top.rglob("*") if path.is_file())
    release = [
        f"Origin: {ORIGIN}",
        f"Label: {ORIGIN}",
        f"Suite: {suite}",
        f"Codename: {suite}",
        f"Date: {formatdate(time_s, usegmt=True).replace('GMT', 'UTC')}",
        f"Architectures: {' '.join(architectures)}",
        f"Components: {COMPONENT}",
        "SHA256:",
        *(f" {_sha256(path)} {path.stat().st_size} {path.relative_to(top)}" for path in indices),
    ]
    write(top / "Release", "\n".join([*release, ""]).encode())


def _entry(deb: Path, directory: Path) -> str:
    """Return the paragraph of a package in the index: its control file, and where its file is."""
    command = ["dpkg-deb", "--field", str(deb)]
    control = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")
    return f"{control}\nFilename: {deb.relative_to(directory)}\nSize: {deb.stat().st_size}\nSHA256: {_sha256(deb)}\n"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sign(directory: Path, key: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="perceptd-gpg-") as home:
        gpg = ["gpg", "--batch", "--quiet", "--no-tty", "--homedir", home, "--pinentry-mode", "loopback"]
        gpg += ["--passphrase", "", "--digest-algo", "SHA512", "--yes"]
        subprocess.run([*gpg, "--import", str(key)], check=True, capture_output=True)
        try:
            for release in _releases(directory):
                for name, action in (("InRelease", ["--clearsign"]), ("Release.gpg", ["--armor", "--detach-sign"])):
                    output = str(release.with_name(name))
                    subprocess.run([*gpg, "--output", output, *action, str(release)], check=True, capture_output=True)
            subprocess.run([*gpg, "--output", str(directory / PUBLIC_KEY), "--export"], check=True)
        finally:
            # gpg has started it for this home; it would stay
            environment = {**os.environ, "GNUPGHOME": home}
            subprocess.run(["gpgconf", "--kill", "all"], check=False, env=environment, capture_output=True)


def _releases(directory: Path) -> Iterator[Path]:
    yield from sorted(directory.glob("dists/*/Release"))

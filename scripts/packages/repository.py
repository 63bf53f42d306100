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
    """Write the repository of these packages to `directory`, which is replaced. `time_s` is its date.

    `key` is a file with a secret OpenPGP key, without a passphrase, as `gpg --export-secret-keys` writes it. Without
    a key the repository has no signature, and apt refuses it unless its sources say [trusted=yes].
    """
    shutil.rmtree(directory, ignore_errors=True)
    for suite in sorted({target.suite for target, _ in debs}):
        of_suite = [(target, deb) for target, deb in debs if target.suite == suite]
        _write_suite(suite, of_suite, directory, time_s)
    if key is not None:
        _sign(directory, key)


def _write_suite(suite: str, debs: Sequence[tuple[Target, Path]], directory: Path, time_s: int) -> None:
    top = directory / "dists" / suite
    architectures = sorted({target.arch for target, _ in debs})
    for architecture in architectures:
        entries = []
        for target, deb in debs:
            if target.arch == architecture:
                copy = directory / "pool" / suite / deb.name
                write(copy, deb.read_bytes())
                entries.append(_entry(copy, str(copy.relative_to(directory))))
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


def _entry(deb: Path, name: str) -> str:
    """Return the paragraph of a package in the index: its control file, and where its file is."""
    command = ["dpkg-deb", "--field", str(deb)]
    control = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rstrip("\n")
    return f"{control}\nFilename: {name}\nSize: {deb.stat().st_size}\nSHA256: {_sha256(deb)}\n"


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

"""The program of scripts/package: builds the Debian packages and their repository, or the image, or the add-on."""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from daemon.core.errors import Refused
from daemon.publisher.artefacts import sbom_of_deb
from packages.deb import build_deb, package_version
from packages.image import NoImage, build_image
from packages.image_context import write_addon
from packages.provenance import sign_image, write_provenance
from packages.repository import write_repository
from packages.source import ROOT, changed_files, commit, commit_time_s
from packages.targets import TARGETS, Target, target_named
from packages.wheels import NoWheels

CACHE = ROOT / "build" / "wheels"
IMAGE_DEBIAN = 13


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of scripts/package."""
    parser = argparse.ArgumentParser(
        prog="scripts/package",
        description="Builds the Debian packages of the commit that is checked out, and an apt repository of them. Two "
        f"builds of one commit give the same packages, byte by byte. Downloaded libraries stay in {CACHE}.",
    )
    parser.add_argument(
        "--target",
        action="append",
        choices=[target.name for target in TARGETS],
        help="build for this system only; may be given several times (default: all)",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--image",
        action="store_true",
        help="build the image of a container in the place of packages, for this processor unless --target names "
        "another one of Debian 13; needs root, buildah and mmdebstrap",
    )
    instead.add_argument(
        "--addon",
        action="store_true",
        help="write the folder of the add-on for Home Assistant in the place of packages",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist in the checkout")
    parser.add_argument(
        "--sign-apt",
        type=Path,
        metavar="KEYFILE",
        help="sign the repository with this secret OpenPGP key, which has no passphrase",
    )
    parser.add_argument(
        "--sign-release",
        type=Path,
        metavar="KEY",
        help="write signed provenance beside each package or image, with this private Ed25519 key in PEM",
    )
    return parser


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options. A key that would sign nothing ends the program with a message."""
    parser = new_parser()
    options = parser.parse_args(arguments)
    if options.sign_apt is not None and (options.image or options.addon):
        parser.error("--sign-apt signs the repository of the packages, and neither --image nor --addon builds them")
    if options.sign_release is not None and options.addon:
        parser.error("--sign-release has nothing to sign with --addon: Home Assistant builds the image itself")
    return options


def main() -> int:
    """Build, and return the exit code."""
    options = read_options()
    os.umask(0o022)  # a web server reads what is published, whoever has built it
    if changed := changed_files():
        print(f"{len(changed)} files differ from the commit {commit()}, among them {changed[0]}", file=sys.stderr)
        if options.sign_release is not None:
            print("no release is signed of files that no commit has: commit them first", file=sys.stderr)
            return 1
    targets = [target_named(name) for name in options.target or [target.name for target in TARGETS]]
    try:
        if options.image or options.addon:
            _build_image(
                targets, options.out, options.sign_release, is_addon=options.addon, is_chosen=bool(options.target)
            )
            return 0
        built = []
        for target in targets:
            deb = build_deb(target, options.out, CACHE)
            sbom = sbom_of_deb(deb) or b""
            deb.with_suffix(".cdx.json").write_bytes(sbom)
            if options.sign_release is not None:
                parameters = {"target": target.name, "version": package_version(target)}
                write_provenance(deb, "deb", sbom, commit(), parameters, options.sign_release)
            print(f"{deb}  {deb.stat().st_size / 1e6:.0f} MB", flush=True)
            built.append((target, deb))
        repository = options.out / "apt"
        write_repository(built, repository, commit_time_s(), options.sign_apt)
    except (NoImage, NoWheels, OSError, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        output = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
        print(f"{error.cmd[0]} failed with {error.returncode}: {output.strip()}", file=sys.stderr)
        return 1
    print(f"{repository}  {'signed' if options.sign_apt else 'not signed: apt refuses it. Use --sign-apt'}")
    return 0


def _build_image(targets: list[Target], out: Path, key: Path | None, *, is_addon: bool, is_chosen: bool) -> None:
    """Build what is of Debian 13 among the targets. Raises NoImage and NoWheels."""
    possible = [target for target in targets if target.debian == IMAGE_DEBIAN]
    if not is_chosen and not is_addon:
        possible = [target for target in possible if target.machine == platform.machine()]
    if not possible:
        raise NoImage(f"an image has Debian {IMAGE_DEBIAN}: name such a --target")
    if is_addon:
        print(write_addon(possible, out, CACHE))
        return
    for target in possible:
        archive = build_image(target, out, CACHE)
        if key is not None:
            sign_image(archive, target, key)
        print(f"{archive}  {archive.stat().st_size / 1e6:.0f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())

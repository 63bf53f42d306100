"""The program of scripts/package: builds the Debian packages, and the apt repository that has them."""

import argparse
import subprocess
import sys
from pathlib import Path

from packages.deb import build_deb
from packages.repository import write_repository
from packages.source import ROOT, changed_files, commit, commit_time_s
from packages.targets import TARGETS, target_named
from packages.wheels import NoWheels

CACHE = ROOT / "build" / "wheels"


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
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="default: dist in the checkout")
    parser.add_argument(
        "--sign-apt",
        type=Path,
        metavar="KEYFILE",
        help="sign the repository with this secret OpenPGP key, which has no passphrase",
    )
    return parser


def main() -> int:
    """Build, and return the exit code."""
    options = new_parser().parse_args()
    if changed := changed_files():
        print(f"these packages differ from the commit {commit()}: {len(changed)} files have changed", file=sys.stderr)
    targets = [target_named(name) for name in options.target or [target.name for target in TARGETS]]
    try:
        built = []
        for target in targets:
            deb = build_deb(target, options.out, CACHE)
            print(f"{deb}  {deb.stat().st_size / 1e6:.0f} MB", flush=True)
            built.append((target, deb))
        repository = options.out / "apt"
        write_repository(built, repository, commit_time_s(), options.sign_apt)
    except NoWheels as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        output = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
        print(f"{error.cmd[0]} failed with {error.returncode}: {output.strip()}", file=sys.stderr)
        return 1
    print(f"{repository}  {'signed' if options.sign_apt else 'not signed: apt refuses it. Use --sign-apt'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The arguments of `perceptd verify`."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import add_json

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

EXAMPLES = """examples:
  perceptd verify perceptd_0.8.0+deb12_arm64.deb --key release.pub
  perceptd verify perceptd_0.8.0_amd64.image.tar --key release.pub --commit 1a2b3c4
  perceptd verify public/targets/home/1.0.0 --key root.json      a bundle in a repository
"""


def add_verify(commands: "Commands") -> None:
    """Add the command."""
    verify = commands.add_parser(
        "verify",
        help="check a package, an image or a bundle back to the commit",
        description="Checks the signature of the build provenance, the digest of the file, the commit and the SBOM, "
        "and prints what is in it. The exit code is 78 when anything differs, and the message says what.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument("file", type=Path, metavar="FILE", help="a .deb, the archive of an image, or a bundle")
    key = "the public key of who has made it, in PEM; or the root.json of a repository"
    verify.add_argument("--key", type=Path, required=True, metavar="KEY", help=key)
    beside = "the provenance (default: FILE.intoto.json, or provenance.intoto.json in a directory)"
    verify.add_argument("--provenance", type=Path, metavar="FILE", help=beside)
    verify.add_argument("--commit", type=_commit, metavar="SHA", help="the commit that it must be made of")
    add_json(verify)
    verify.set_defaults(execute=_verify)


def _verify(options: argparse.Namespace) -> int:
    from daemon.cli.verify import verify

    return verify(options)


def _commit(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{7,64}", text):
        raise argparse.ArgumentTypeError(f"expected 7 to 64 hexadecimal digits, found {text!r}")
    return text

"""The arguments of `perceptd bundle build`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import add_from, add_json, needs_newer_runtime
from daemon.core.errors import Refused

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


def add_bundle_build(actions: "Commands") -> None:
    """Add `build` to the actions of `bundle`."""
    build = actions.add_parser(
        "build",
        help="build a bundle of other people's encoders, as a recipe says",
        description="Fetches the models that a recipe names, verifies and edits them, writes the head and the "
        "manifest, and runs the self-test. The bundle is written as a whole or not at all. Fetched files stay in "
        "~/.cache/perceptd/sources. docs/own-models.md describes recipes. The exit code is 78 when something is wrong.",
        epilog="example: perceptd bundle build lamp/recipe.yaml --out lamp-bundle --head lamp/head.npz",
    )
    build.add_argument("recipe", type=Path, metavar="RECIPE", help="the file recipe.yaml; selftest/ lies beside it")
    build.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the directory of the bundle; a bundle there is replaced"
    )
    add_from(build)
    build.add_argument(
        "--head", type=Path, metavar="FILE.npz", help="the weights of the head, where the recipe does not construct it"
    )
    add_json(build)
    build.set_defaults(execute=_bundle_build)


def _bundle_build(options: argparse.Namespace) -> int:
    try:
        from daemon.cli.bundle_build import bundle_build
    except ModuleNotFoundError as error:
        raise Refused(needs_newer_runtime(error)) from error
    return bundle_build(options)

"""The arguments of `perceptd bundle` and its actions."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import BUNDLE, add_json
from daemon.core.errors import Refused

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


def add_bundle(commands: "Commands") -> None:
    """Add `bundle` to the commands."""
    bundle = commands.add_parser("bundle", help="get, build, show or verify a bundle")
    actions = bundle.add_subparsers(required=True, metavar="ACTION")
    _add_get(actions)
    _add_build(actions)
    show = actions.add_parser("show", help="print the contents of a bundle")
    verify = actions.add_parser("verify", help="check everything and run the self-test")
    for parser, execute in ((show, _bundle_show), (verify, _bundle_verify)):
        parser.add_argument("bundle", metavar="DIR|NAME", help=BUNDLE)
        add_json(parser)
        parser.set_defaults(execute=execute)


def _add_get(actions: "Commands") -> None:
    get = actions.add_parser(
        "get",
        help="make a bundle by a recipe that comes with perceptd, and say how to use it",
        description="Makes a bundle of public models, by a recipe that comes with perceptd, and prints how to use it. "
        "Models that are not in the cache are downloaded. The bundle lies in ~/.local/share/perceptd/bundles. "
        "For root, where the service is installed, it lies in /var/lib/perceptd-bundles, and is tested as the user of "
        "the service. The exit code is 78 when something is wrong.",
        epilog="example: perceptd bundle get home",
    )
    get.add_argument("name", metavar="NAME", help="the name of the recipe, such as home")
    _add_from(get)
    add_json(get)
    get.set_defaults(execute=_bundle_get)


def _bundle_get(options: argparse.Namespace) -> int:
    try:
        from daemon.cli.bundle_get import bundle_get
    except ModuleNotFoundError as error:
        raise Refused(_needs_newer_runtime(error)) from error
    return bundle_get(options)


def _add_build(actions: "Commands") -> None:
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
    _add_from(build)
    build.add_argument(
        "--head", type=Path, metavar="FILE.npz", help="the weights of the head, where the recipe does not construct it"
    )
    add_json(build)
    build.set_defaults(execute=_bundle_build)


def _bundle_build(options: argparse.Namespace) -> int:
    try:
        from daemon.cli.bundle_build import bundle_build
    except ModuleNotFoundError as error:
        raise Refused(_needs_newer_runtime(error)) from error
    return bundle_build(options)


def _bundle_show(options: argparse.Namespace) -> int:
    from daemon.cli.bundle import bundle_show

    return bundle_show(options)


def _bundle_verify(options: argparse.Namespace) -> int:
    from daemon.cli.bundle import bundle_verify

    return bundle_verify(options)


def _add_from(parser: argparse.ArgumentParser) -> None:
    """Add `--from`, of commands that make a bundle of other people's models."""
    parser.add_argument(
        "--from",
        dest="from_dir",
        type=Path,
        metavar="DIR",
        help="take the models from this directory, by their hashes, and use no network",
    )


def _needs_newer_runtime(error: ModuleNotFoundError) -> str:
    """Return why a bundle cannot be made: the older tflite-runtime has no schema of models."""
    return f"making a bundle needs the Python package {error.name}: install ai-edge-litert"


def add_evaluate(commands: "Commands") -> None:
    """Add `perceptd evaluate`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a bundle on labelled data",
        description="The CSV has the columns image,audio,text,label; an empty cell is an absent sense, paths are "
        "relative to the CSV.",
        epilog="example: perceptd evaluate models/digits test.csv",
    )
    evaluate.add_argument("bundle", metavar="BUNDLE", help=BUNDLE)
    evaluate.add_argument("manifest", type=Path, metavar="MANIFEST.csv", help="the items with their labels")
    add_json(evaluate)
    evaluate.set_defaults(execute=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from daemon.cli.bundle import evaluate

    return evaluate(options)

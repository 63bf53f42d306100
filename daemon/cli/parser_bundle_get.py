"""The arguments of `perceptd bundle get`."""

import argparse
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import add_from, add_json, needs_newer_runtime
from daemon.core.errors import Refused

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


def add_bundle_get(actions: "Commands") -> None:
    """Add `get` to the actions of `bundle`."""
    get = actions.add_parser(
        "get",
        help="make a bundle by a recipe that comes with perceptd, and say how to use it",
        description="Makes a bundle of public models, by a recipe that comes with perceptd, and prints how to use it. "
        "The models are downloaded unless they are in the cache. The bundle lies in ~/.local/share/perceptd/bundles "
        "then. As root, where the service is installed, it lies in /var/lib/perceptd-bundles, and is tested as the "
        "user of the service. The exit code is 78 when something is wrong.",
        epilog="example: perceptd bundle get home",
    )
    get.add_argument("name", metavar="NAME", help="the name of the recipe, such as home")
    add_from(get)
    add_json(get)
    get.set_defaults(execute=_bundle_get)


def _bundle_get(options: argparse.Namespace) -> int:
    try:
        from daemon.cli.bundle_get import bundle_get
    except ModuleNotFoundError as error:
        raise Refused(needs_newer_runtime(error)) from error
    return bundle_get(options)

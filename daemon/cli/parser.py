"""The arguments of `perceptd models`."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]


def add_models(commands: "Commands", add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command with its actions; `add_common` adds to each what says how to reach the node."""
    models = commands.add_parser(
        "models",
        help="the models of a running node: list, check, install, rollback, pin",
        description="Shows which models a running node has, and asks it for others. Which it takes is for its source's "
        "signatures to say, not for who asks. The exit code is 1 when it refuses, fails, or is not heard.",
        epilog="example: perceptd models install digits 0.5.0",
    )
    actions = models.add_subparsers(required=True, metavar="ACTION")

    def add(action: str, words: str) -> argparse.ArgumentParser:
        parser = actions.add_parser(action, help=words, description=f"{words[0].upper()}{words[1:]}.")
        add_common(parser)
        parser.set_defaults(module="daemon.cli.models", command=f"models_{action}")
        return parser

    add("list", "show what runs, what could, and what was refused and why")
    _add_no_wait(add("check", "look now what the source has"))
    install = add("install", "install a bundle, and show how it goes until it runs")
    install.add_argument("name", nargs="?", metavar="NAME", help="default: the one that runs")
    install.add_argument("version", nargs="?", metavar="VERSION", help="like 0.5.0, also alone; default: the latest")
    _add_no_wait(install)
    _add_no_wait(add("rollback", "go back to the bundle before, and give up what is being installed"))
    pin = add("pin", "keep the bundle that runs until somebody asks for another")
    pin.add_argument("--off", action="store_true", help="take newer ones again, where models.automatic is set")
    _add_no_wait(pin)


def _add_no_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait for what comes of it")

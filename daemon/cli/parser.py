"""The arguments of all commands.

The functions that execute a command import its modules, so that `--help` and wrong arguments are answered at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon import __version__
from daemon.cli.options import (
    ACCOUNT_CONFIGS,
    BUNDLE,
    NODE_CONFIGS,
    add_broker,
    add_config,
    add_devices,
    add_json,
    add_node,
)
from daemon.cli.parser_bundle import add_bundle, add_evaluate
from daemon.cli.parser_history import add_history
from daemon.cli.parser_page import add_page
from daemon.cli.parser_repo import add_repo
from daemon.cli.parser_setup import add_setup
from daemon.cli.parser_teach import add_teach, mistyped, with_action
from daemon.cli.parser_verify import add_verify
from daemon.cli.signals import handle_early_signals
from daemon.cli.usage_errors import Parser

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

EXAMPLES = """examples:
  sudo perceptd setup                                   find cameras and microphones, ask, and start the service
  perceptd run --config config.yaml                     recognise what the config says
  perceptd run --camera 0 --microphone default          the same, with a camera and a microphone instead
  perceptd watch                                        recognitions and events as they come
  perceptd send pause --stream door                     close a stream's camera and microphone
  perceptd models install 0.5.0                         another version of the models, from models.source
  perceptd teach "kettle boils"                         an event of your own, each time it happens
  perceptd page                                         all of this in a browser
  sudo perceptd doctor                                  what is wrong with this machine, and what to do
  perceptd devices                                      cameras and microphones, with the names config.yaml takes
  perceptd bundle get home                              make a bundle of the sounds and sights of a home
  perceptd evaluate models/digits test.csv --json       score a bundle on labelled data
"""

# what `perceptd doctor --report` writes, unless a file is named
REPORT = Path("perceptd-report.json")

COMMANDS_TO_SEND = ("pause", "resume", "mute", "unmute", "log_level", "describe")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed options; without arguments those of this process. See `new_parser`."""
    parser = new_parser()
    given = sys.argv[1:] if arguments is None else arguments
    if (problem := mistyped(given)) is not None:
        parser.error(problem)
    return parser.parse_args(with_action(given))


def new_parser() -> argparse.ArgumentParser:
    """Return the parser. The parsed options have `execute`, the function to call with them."""
    parser: argparse.ArgumentParser = Parser(
        prog="perceptd",
        description="Recognises events by sight, sound and text, and publishes them over MQTT.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"perceptd {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # the daily commands, then those for setting up, then those for makers of models
    _add_run(commands)
    _add_watch(commands)
    _add_send(commands)
    _add_models(commands)
    add_teach(commands)
    add_history(commands)
    add_page(commands)
    add_setup(commands)
    _add_check_config(commands)
    _add_doctor(commands)
    _add_devices(commands)
    _add_sync_test(commands)
    add_evaluate(commands)
    add_bundle(commands)
    add_repo(commands)
    add_verify(commands)
    return parser


def _add_run(commands: "Commands") -> None:
    run = commands.add_parser(
        "run",
        help="recognise and publish until stopped",
        description="Recognises and publishes until it is stopped, or until its recordings end. The exit code is 65 "
        "when a recording is cut off or damaged, and 78 when the config or the bundle cannot be used.",
    )
    add_config(run, "./config.yaml")
    run.add_argument(
        "--bundle",
        metavar="DIR|NAME",
        help=f"run this bundle instead of the config's: {BUNDLE}",
    )
    add_broker(run)
    add_devices(run)
    run.set_defaults(execute=_run)


def _run(options: argparse.Namespace) -> int:
    handle_early_signals()  # the imports take a second
    from daemon.cli.run import run

    return run(options)


def _add_sync_test(commands: "Commands") -> None:
    sync = commands.add_parser(
        "sync-test",
        help="measure the offset between sound and picture",
        description="Films flashes and beeps with a stream's camera and microphone, and prints which offset_ms to set. "
        "The exit code is 1 when the offset cannot be measured.",
        epilog="example: perceptd sync-test --make flashes.mp4, then play it on a telephone and run perceptd sync-test",
    )
    add_config(sync)
    sync.add_argument("--stream", metavar="NAME", help="which stream of the config (default: the first)")
    add_devices(sync)
    sync.add_argument("--for", dest="seconds", type=_film_s, default=20.0, metavar="SECONDS", help="default: 20")
    sync.add_argument("--make", type=Path, metavar="FILE.mp4", help="write a clip of flashes and beeps instead")
    add_json(sync)
    sync.set_defaults(execute=_sync_test)


def _sync_test(options: argparse.Namespace) -> int:
    from daemon.cli.sync_test import sync_test

    return sync_test(options)


def _film_s(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 5 <= seconds <= 120:
        raise argparse.ArgumentTypeError("expected 5 to 120 seconds")
    return seconds


def _add_doctor(commands: "Commands") -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check everything that a node depends on",
        description="Checks versions, processor, memory, disk, clock and accelerators, and what the config names: "
        "cameras and microphones, the broker, the bundle. Prints one line for each, with what to do where it is wrong. "
        "Run as root, it tests also what the user of the installed service may read. The exit code is 0, 1 for "
        "warnings, 2 when the node will not work. If the node has a USB camera, a microphone of the machine or an "
        "Edge TPU, stop perceptd first: it holds them. A network camera needs no stop.",
        epilog="example: sudo perceptd doctor",
    )
    add_config(doctor)
    add_json(doctor)
    doctor.add_argument(
        "--report",
        nargs="?",
        type=Path,
        const=REPORT,
        metavar="FILE",
        help="write what this machine is, and how fast each encoder runs on it, for an issue: "
        f"no pictures, names, addresses or paths (default FILE: {REPORT})",
    )
    doctor.set_defaults(execute=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from daemon.doctor.report import doctor

    return doctor(options)


def _add_check_config(commands: "Commands") -> None:
    check = commands.add_parser(
        "check-config",
        help="check whether a config and its bundle can be used",
        description="Checks a config, and loads its bundle. Run as root, it tests also what the user of the installed "
        "service may read. The exit code is 78 when a node with this config would not start.",
    )
    check.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help=f"default: {NODE_CONFIGS}")
    check.set_defaults(execute=_check_config)


def _check_config(options: argparse.Namespace) -> int:
    from daemon.cli.check_config import check_config

    return check_config(options)


def _add_devices(commands: "Commands") -> None:
    devices = commands.add_parser(
        "devices",
        help="list cameras and microphones",
        description="Lists cameras and microphones by the names that config.yaml takes.",
    )
    devices.add_argument("--network", action="store_true", help="ask the local network for ONVIF cameras too")
    add_json(devices)
    devices.set_defaults(execute=_devices)


def _devices(options: argparse.Namespace) -> int:
    from daemon.cli.devices import devices

    return devices(options)


def _add_watch(commands: "Commands") -> None:
    watch = commands.add_parser("watch", help="show recognitions and events as they come")
    add_config(watch, ACCOUNT_CONFIGS)
    add_broker(watch)
    watch.add_argument(
        "--node", metavar="NAME", help="the node to watch, or + for all nodes (default: the config's, else all)"
    )
    add_json(watch)
    watch.set_defaults(execute=_watch)


def _watch(options: argparse.Namespace) -> int:
    from daemon.cli.broker import watch

    return watch(options)


def _add_send(commands: "Commands") -> None:
    send = commands.add_parser(
        "send",
        help="send a command to a running node",
        description="pause and resume close and open a stream's camera and microphone; mute and unmute only its "
        "microphone. Without --stream they apply to all streams. Their effect survives a restart. The exit code is 1 "
        "when the node refuses or does not answer.",
        epilog="example: perceptd send pause --stream door",
    )
    names = " | ".join(COMMANDS_TO_SEND)
    send.add_argument("name", choices=COMMANDS_TO_SEND, metavar="COMMAND", help=names)
    send.add_argument("--stream", metavar="NAME", help="which stream (default: all)")
    send.add_argument("--level", metavar="LEVEL", help="of log_level: debug | info | warning | error")
    add_node(send)
    send.set_defaults(execute=_send)


def _send(options: argparse.Namespace) -> int:
    from daemon.cli.broker import send

    return send(options)


def _add_models(commands: "Commands") -> None:
    models = commands.add_parser(
        "models",
        help="show the models of a running node, or ask for others",
        description="Shows which models a running node has, and asks it for others. The node accepts only models that "
        "the publisher of its source has signed. The exit code is 1 when it refuses, fails or does not answer.",
        epilog="example: perceptd models install digits 0.5.0",
    )
    actions = models.add_subparsers(required=True, metavar="ACTION")
    _add_models_action(actions, "list", "show the active bundle, the available ones, and which were refused and why")
    _add_no_wait(_add_models_action(actions, "check", "look for new versions at the source now"))
    install = _add_models_action(actions, "install", "install a bundle, and show progress until it is active")
    install.add_argument("name", nargs="?", metavar="NAME", help="default: the active one")
    install.add_argument("version", nargs="?", metavar="VERSION", help="like 0.5.0, also alone; default: the latest")
    _add_no_wait(install)
    rollback = "go back to the previous bundle, and cancel an installation"
    _add_no_wait(_add_models_action(actions, "rollback", rollback))
    pin = _add_models_action(actions, "pin", "keep the active bundle until somebody asks for another")
    pin.add_argument("--off", action="store_true", help="accept newer bundles again, if models.automatic is set")
    _add_no_wait(pin)


def _add_models_action(actions: "Commands", action: str, help_text: str) -> argparse.ArgumentParser:
    description = f"{help_text[0].upper()}{help_text[1:]}."
    parser = actions.add_parser(action, help=help_text, description=description)
    add_node(parser)
    parser.set_defaults(execute=_models, action=action)
    return parser


def _models(options: argparse.Namespace) -> int:
    from daemon.cli.models import models

    return models(options)


def _add_no_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait for the result")

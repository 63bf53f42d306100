"""The arguments of `perceptd setup`."""

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import add_json

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

WIDTH = 100

DESCRIPTION = (
    "Finds cameras, microphones and brokers, asks what it cannot know, writes a config, tests it, and starts the "
    "service. Each answer can be given by an option, and is not asked then. With --yes nothing is asked: what no "
    "option gives stays as the config has it. An existing config is kept as config.yaml.before-setup-DATE, and every "
    "key that setup does not ask for stays. The exit code is 1 when the config is written and something does not work "
    "yet, and 78 when nothing was written. docs/setup.md explains all of it."
)

EXAMPLES = """examples:
  sudo perceptd setup                                  ask, and set up the service
  perceptd setup --config me/config.yaml               the same for a node of your own, without the service
  sudo perceptd setup --yes --node hall --stream door --camera-file camera-url --microphone camera \\
      --broker 192.168.1.5 --username hall --password-file broker-password --bundle home
"""


def add_setup(commands: "Commands") -> None:
    """Add `perceptd setup`."""
    parser = commands.add_parser(
        "setup",
        help="find devices, ask, write a config, and start the service",
        description=textwrap.fill(DESCRIPTION, WIDTH),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing; for scripts")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the config to write (default: /etc/perceptd/config.yaml for root, else ~/.config/perceptd/config.yaml)",
    )
    parser.add_argument("--network", action="store_true", help="look for cameras and brokers on the local network too")
    parser.add_argument("--node", metavar="NAME", help="the name of this device in topics")
    parser.add_argument(
        "--stream", metavar="NAME", help="the name of the place; one that is not in the config is added"
    )
    camera = parser.add_mutually_exclusive_group()
    camera.add_argument(
        "--camera", metavar="DEVICE", help="0, /dev/video0, rtsp://HOST/PATH without a password, a file, or none"
    )
    camera.add_argument(
        "--camera-file", type=Path, metavar="FILE", help="a file whose first line is the camera's URL with its password"
    )
    parser.add_argument(
        "--microphone", metavar="NAME", help="a name of `perceptd devices`, camera (its own sound), or none"
    )
    parser.add_argument("--broker", metavar="HOST[:PORT]", help="an IPv6 address with a port as [ADDRESS]:PORT")
    parser.add_argument(
        "--tls",
        nargs="?",
        const="",
        metavar="CA-FILE",
        help="encrypt the connection to the broker, which this file verifies (default: the certificates of the system)",
    )
    parser.add_argument("--username", metavar="NAME", help="the account of the node at the broker; '' for none")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="a file whose first line is the password of this account"
    )
    parser.add_argument(
        "--bundle", metavar="NAME|DIR", help="what to recognise: home, digits, another recipe, or a directory"
    )
    parser.add_argument(
        "--from", dest="from_dir", type=Path, metavar="DIR", help="take the models of the bundle from a directory"
    )
    parser.add_argument(
        "--page-password-file", type=Path, metavar="FILE", help="a file whose first line is the password of the page"
    )
    parser.add_argument("--no-start", dest="starts", action="store_false", help="do not start the service")
    add_json(parser)
    parser.set_defaults(execute=_setup)


def _setup(options: argparse.Namespace) -> int:
    from daemon.cli.setup import setup

    return setup(options)

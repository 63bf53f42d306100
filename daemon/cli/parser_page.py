"""The arguments of `perceptd page`."""

import argparse
import textwrap
from typing import TYPE_CHECKING, TypeAlias

from daemon.cli.options import add_config

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

WIDTH = 100

DESCRIPTION = (
    "Serves the page of a node: what it sees and hears, its events, teaching, and its health. Only this machine "
    "reaches it until --listen opens it. Where perceptd is installed as a service, systemd serves the page, and the "
    "options are for root. docs/page.md explains all of it."
)

EXAMPLES = """examples:
  perceptd page                                  serve the page at http://localhost:8099 until Ctrl-C
  sudo perceptd page --link                      a link that logs in whoever opens it first, within ten minutes
  sudo perceptd page --set-password              then a browser can log in at any time
  sudo perceptd page --listen 0.0.0.0            open the page to the network; needs a password
  sudo perceptd page --listen 127.0.0.1          close it again
"""


def add_page(commands: "Commands") -> None:
    """Add `perceptd page`."""
    page = commands.add_parser(
        "page",
        help="show the node in a browser, and log in there",
        description=textwrap.fill(DESCRIPTION, WIDTH),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config(page)
    actions = page.add_mutually_exclusive_group()
    actions.add_argument("--link", action="store_true", help="print a link that logs in as the owner, once")
    actions.add_argument("--set-password", action="store_true", help="ask for the password of a role, and store it")
    actions.add_argument("--token", metavar="NAME", help="print a token with which a machine may use the page")
    actions.add_argument("--revoke", metavar="NAME", help="end the token of a machine")
    actions.add_argument("--logout-all", action="store_true", help="end the sessions of all browsers")
    actions.add_argument(
        "--listen", metavar="ADDRESS", help="where the page listens: an address of this machine, with :PORT if not 8099"
    )
    page.add_argument(
        "--role",
        choices=("owner", "viewer"),
        default="owner",
        help="whose password or token it is; a viewer looks and changes nothing (default: owner)",
    )
    page.add_argument(
        "--idle-exit",
        type=_seconds,
        metavar="SECONDS",
        help="end after so long without a browser (for systemd)",
    )
    page.set_defaults(execute=_page)


def _page(options: argparse.Namespace) -> int:
    from daemon.cli.page import page

    return page(options)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 1e6:
        raise argparse.ArgumentTypeError("expected 0.1 to 1000000 seconds")
    return seconds

"""The arguments of `perceptd repo`."""

import argparse
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from daemon import __version__
from daemon.bundle.signature_lifetimes import DEFAULT_DAYS, MAX_DAYS, ROLES

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

WIDTH = 100
"""Of paragraphs in a help text, whose examples are lines of about as many characters."""

KEYS_EPILOG = """keys:
  Each is a PEM file (PKCS8, Ed25519) in the directory that --keys names: root-1.pem, targets.pem, snapshot.pem,
  timestamp.pem. The text of such a file may stand in the environment instead, for CI and cron:
  PERCEPTD_KEY_TIMESTAMP, PERCEPTD_KEY_SNAPSHOT, PERCEPTD_KEY_TARGETS, PERCEPTD_KEY_ROOT_1.
"""

EXAMPLES = """examples:
  perceptd repo init /srv/models                         make a repository, and its keys
  perceptd repo add models/digits --repo /srv/models     try a bundle, and stage it
  perceptd repo publish --repo /srv/models               sign what is staged; serve /srv/models/public
  perceptd repo rotate-key timestamp --repo /srv/models  replace a key that was stolen or lost
"""

CRON = """every day, in a crontab; what is urgent goes to standard error, which cron mails:
  17 5 * * *  perceptd repo refresh --repo /srv/models >/dev/null
"""


def add_repo(commands: "Commands") -> None:
    """Add the command and all its actions."""
    repo = _parser(commands, "repo", "publish bundles for devices that replace theirs from afar", EXAMPLES)
    actions = repo.add_subparsers(required=True, metavar="ACTION")
    _add_init(actions)
    _add_add(actions)
    _add_publish(actions)
    _add_refresh(actions)
    _add_rotate_key(actions)
    _add_status(actions)


def _add_init(actions: "Commands") -> None:
    init = _parser(actions, "init", "make a repository and its keys", KEYS_EPILOG)
    init.add_argument("directory", type=Path, metavar="DIR", help="what is served will be in DIR/public")
    init.add_argument("--root-keys", type=_count, default=1, metavar="N", help="how many root keys (default: 1)")
    init.add_argument(
        "--threshold", type=_count, default=1, metavar="M", help="how many of them must sign a change (default: 1)"
    )
    for role, default in DEFAULT_DAYS.items():
        what = f"how long the signatures of {role} count (default: {default})"
        init.add_argument(f"--{role}-days", type=_days, default=default, metavar="DAYS", help=what)
    _add_keys(init, "DIR/keys")
    _add_json(init, "repo_init")


def _add_add(actions: "Commands") -> None:
    words = "The bundle's files, models and self-test are checked in a process of their own. A version never changes."
    add = _parser(actions, "add", "try a bundle, and stage it for publish", None, words)
    add.add_argument("bundle", type=Path, metavar="BUNDLE")
    add.add_argument("--memory-mb", type=_memory, metavar="MB", help="how much its models need (default: measured)")
    add.add_argument(
        "--needs-perceptd",
        type=_version,
        default=__version__,
        metavar="VERSION",
        help=f"the oldest version of perceptd that can run it (default: this one, {__version__})",
    )
    _add_common(add, "repo_add")


def _add_publish(actions: "Commands") -> None:
    words = "Devices see all of it or nothing. Needs the keys of targets, snapshot and timestamp."
    publish = _parser(actions, "publish", "sign what is staged, and show it to devices", KEYS_EPILOG, words)
    _add_common(publish, "repo_publish")
    _add_keys(publish)


def _add_refresh(actions: "Commands") -> None:
    words = (
        "Renews the timestamp, and root, targets and snapshot when less than a third of their time is left and their "
        "keys are here. The exit code is 1 when something expires soon that could not be renewed, a key cannot be "
        "read, or a published file is missing."
    )
    refresh = _parser(actions, "refresh", "renew what expires", f"{CRON}\n{KEYS_EPILOG}", words)
    clock = "sign although this clock is behind what was signed: it is right, and was ahead then"
    refresh.add_argument("--clock-is-right", action="store_true", help=clock)
    _add_common(refresh, "repo_refresh")
    _add_keys(refresh)


def _add_rotate_key(actions: "Commands") -> None:
    words = (
        "Makes a new key and signs with it what the old one signed. Needs the root keys, and those of the roles that "
        "depend on it; the old one need not be there, unless too few root keys would be left. A stolen key can do no "
        "more harm then, and devices to which it gave versions far ahead come back."
    )
    rotate = _parser(actions, "rotate-key", "replace a key by a new one", KEYS_EPILOG, words)
    rotate.add_argument("role", choices=ROLES, metavar="ROLE", help=" | ".join(ROLES))
    rotate.add_argument("number", nargs="?", type=_count, default=1, metavar="N", help="which root key (default: 1)")
    _add_common(rotate, "repo_rotate_key")
    _add_keys(rotate)


def _add_status(actions: "Commands") -> None:
    words = (
        "The exit code is 1 when anything has expired, has less than a fifth of its time left, or counts longer than "
        "it could, and when a published file is missing or has another size than was signed."
    )
    _add_common(_parser(actions, "status", "what is there, signed by whom and until when", None, words), "repo_status")


def _parser(
    commands: "Commands", name: str, words: str, epilog: str | None, description: str | None = None
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=words,
        description=None if description is None else textwrap.fill(description, WIDTH),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_common(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument(
        "--repo", type=Path, default=Path(), metavar="DIR", help="the repository (default: the current directory)"
    )
    _add_json(parser, command)


def _add_json(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(module="daemon.cli.repo", command=command)


def _add_keys(parser: argparse.ArgumentParser, default: str = "keys in the repository") -> None:
    parser.add_argument(
        "--keys",
        type=Path,
        action="append",
        metavar="DIR",
        help=f"where the keys lie (default: {default}); may be given several times. New ones are "
        "written beside the old, or to the first",
    )


def _count(text: str) -> int:
    return _number(text, 1, 100)


def _days(text: str) -> int:
    return _number(text, 1, MAX_DAYS)


def _memory(text: str) -> int:
    return _number(text, 1, 1_000_000)


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, found {text!r}")
    return int(text)


def _version(text: str) -> str:
    # as in manifest.py, which is not imported here: help is answered without what it needs
    if not re.fullmatch(r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}", text):
        raise argparse.ArgumentTypeError(f"expected three numbers like {__version__}, found {text!r}")
    return text

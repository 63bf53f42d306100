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

# about the length of the lines of the examples in a help text
WIDTH = 100

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

CRON = """every day, in a crontab; urgent messages go to standard error, which cron mails:
  17 5 * * *  perceptd repo refresh --repo /srv/models >/dev/null
"""


def add_repo(commands: "Commands") -> None:
    """Add the command and its actions."""
    repo = _parser(commands, "repo", "publish bundles for remote updates of devices", EXAMPLES)
    actions = repo.add_subparsers(required=True, metavar="ACTION")
    _add_init(actions)
    _add_add(actions)
    _add_publish(actions)
    _add_refresh(actions)
    _add_rotate_key(actions)
    _add_status(actions)


def _add_init(actions: "Commands") -> None:
    init = _parser(actions, "init", "make a repository and its keys", KEYS_EPILOG)
    init.add_argument("directory", type=Path, metavar="DIR", help="make it here; serve DIR/public")
    init.add_argument("--root-keys", type=_count, default=1, metavar="N", help="how many root keys (default: 1)")
    init.add_argument(
        "--threshold", type=_count, default=1, metavar="M", help="how many of them must sign a change (default: 1)"
    )
    for role, default in DEFAULT_DAYS.items():
        what = f"how long the signatures of {role} are valid (default: {default})"
        init.add_argument(f"--{role}-days", type=_days, default=default, metavar="DAYS", help=what)
    _add_keys(init, "DIR/keys")
    _add_json(init, "init")


def _add_add(actions: "Commands") -> None:
    text = (
        "The bundle's files, models and self-test are checked in a separate process. A published version never changes."
    )
    add = _parser(actions, "add", "try a bundle, and stage it for publish", None, text)
    add.add_argument("bundle", type=Path, metavar="BUNDLE")
    add.add_argument(
        "--memory-mb", type=_memory, metavar="MB", help="how much memory its models need (default: measured)"
    )
    add.add_argument(
        "--needs-perceptd",
        type=_version,
        default=__version__,
        metavar="VERSION",
        help=f"the oldest version of perceptd that can run it (default: this one, {__version__})",
    )
    _add_common(add, "add")


def _add_publish(actions: "Commands") -> None:
    text = "Devices see all of it or nothing. Needs the keys of targets, snapshot and timestamp."
    publish = _parser(actions, "publish", "sign what is staged, so that devices see it", KEYS_EPILOG, text)
    commit = "the commit that the staged bundles are made of, for their provenance: perceptd verify compares it"
    publish.add_argument("--commit", type=_commit, metavar="SHA", help=commit)
    _add_common(publish, "publish")
    _add_keys(publish)


def _add_refresh(actions: "Commands") -> None:
    text = (
        "Renews the timestamp, and root, targets and snapshot when less than a third of their time is left and their "
        "keys are here. The exit code is 1 when something expires soon that could not be renewed, a key cannot be "
        "read, or a published file is missing."
    )
    refresh = _parser(actions, "refresh", "renew what expires", f"{CRON}\n{KEYS_EPILOG}", text)
    clock = "sign although this clock is behind existing signatures, because it is right and was ahead then"
    refresh.add_argument("--clock-is-right", action="store_true", help=clock)
    _add_common(refresh, "refresh")
    _add_keys(refresh)


def _add_rotate_key(actions: "Commands") -> None:
    text = (
        "Makes a new key, and signs with it the metadata that the old key signed. Needs the root keys, and the keys of "
        "roles that depend on the role. The old key is not needed, unless too few root keys would remain. Afterwards a "
        "stolen key is useless, and devices recover from metadata versions far ahead that were signed with it."
    )
    rotate = _parser(actions, "rotate-key", "replace a key by a new one", KEYS_EPILOG, text)
    rotate.add_argument("role", choices=ROLES, metavar="ROLE", help=" | ".join(ROLES))
    rotate.add_argument("number", nargs="?", type=_count, default=1, metavar="N", help="which root key (default: 1)")
    _add_common(rotate, "rotate-key")
    _add_keys(rotate)


def _add_status(actions: "Commands") -> None:
    text = (
        "The exit code is 1 when a signature has expired, has less than a fifth of its time left, or is valid for "
        "longer than its lifetime, and when a published file is missing or has another size than was signed."
    )
    _add_common(_parser(actions, "status", "show bundles, keys and expiry dates", None, text), "status")


def _parser(
    commands: "Commands", name: str, text: str, epilog: str | None, description: str | None = None
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=None if description is None else textwrap.fill(description, WIDTH),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_common(parser: argparse.ArgumentParser, action: str) -> None:
    parser.add_argument(
        "--repo", type=Path, default=Path(), metavar="DIR", help="the repository (default: the current directory)"
    )
    _add_json(parser, action)


def _add_json(parser: argparse.ArgumentParser, action: str) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(execute=_repo, action=action)


def _repo(options: argparse.Namespace) -> int:
    from daemon.cli.repo import repo

    return repo(options)


def _add_keys(parser: argparse.ArgumentParser, default: str = "keys in the repository") -> None:
    parser.add_argument(
        "--keys",
        type=Path,
        action="append",
        metavar="DIR",
        help=f"directory of the keys (default: {default}); may be given several times. New ones are "
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


def _commit(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", text):
        raise argparse.ArgumentTypeError(f"expected the full hash of a commit, found {text!r}")
    return text


def _version(text: str) -> str:
    # the same pattern as in manifest.py, which is not imported here because --help must not load its imports
    if not re.fullmatch(r"(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}", text):
        raise argparse.ArgumentTypeError(f"expected three numbers like {__version__}, found {text!r}")
    return text

"""Finds the config of a command, and explains what to do where the user may not read it."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.config.account import broker_and_node
from daemon.config.mqtt import MqttConfig
from daemon.config.places import (
    SERVICE_CONFIG,
    UNIT_DIRECTORIES,
    account_configs,
    find_config,
    node_configs,
    unit_files,
)
from daemon.core.errors import Refused

# as in LoadCredential=mqtt-password:/etc/perceptd/mqtt-password (systemd.exec(5))
PASSWORD_CREDENTIAL = re.compile(r"^\s*(?:Load|Set)Credential(?:Encrypted)?\s*=\s*mqtt-password:", re.MULTILINE)

OWN_ACCOUNT = """\
To use this command, get an account of your own at the broker. Write it into {path}:
  node: NAME OF THE NODE
  mqtt: {{host: HOST, username: YOUR NAME, password_file: password}}
Write its password into the file password beside it. docs/security.md says more under "A file for people".
Do not join the group perceptd: its members can read every password of the service."""


def node_config(given: Path | None) -> Path:
    """Return the given config of a node, else the first that is there; then print its path. Raises DocumentError."""
    return given or _printed(find_config(node_configs()))


@contextmanager
def explained(config: Path) -> Iterator[None]:
    """Say in a block that reads a node's config what to do where only the service may read it. Raises Refused."""
    try:
        yield
    except Refused as error:
        if config != SERVICE_CONFIG or not _is_forbidden(error):
            raise
        raise Refused(f"{error}\nOnly root and the service may read it: run this command with sudo.") from error


@contextmanager
def reached(options: argparse.Namespace, *, any_node: bool = False) -> Iterator[tuple[MqttConfig, str]]:
    """Give the broker and the node of a command's options to a block.

    Raises Refused, also for the block. A message about a file that only the service may read says what to do.
    """
    config = options.config
    if config is None and not (options.broker and options.node):
        config = _printed(find_config(account_configs()))
    try:
        mqtt, node = broker_and_node(options.broker, options.node, config, any_node=any_node)
        if config == SERVICE_CONFIG and (problem := credential_problem(mqtt)) is not None:
            raise Refused(f"{problem}\n{own_account()}")
        yield mqtt, node
    except Refused as error:
        if not _is_forbidden(error):
            raise
        if config == account_configs()[1]:
            raise Refused(
                f"{error}\nIt belongs to your own account: make this user its owner, with mode 600."
            ) from error
        who = "Only root and the service may read it." if config == SERVICE_CONFIG else "This user may not read it."
        raise Refused(f"{error}\n{who}\n{own_account()}") from error


def own_account(environment: Mapping[str, str] = os.environ) -> str:
    """Return how a person gets an account for the commands."""
    return OWN_ACCOUNT.format(path=account_configs(environment)[1])


def credential_problem(mqtt: MqttConfig, units: Sequence[Path] = UNIT_DIRECTORIES) -> str | None:
    """Return where the password of the service's account is, if it is a credential of systemd; else None."""
    if mqtt.password is not None or mqtt.password_file is not None or "CREDENTIALS_DIRECTORY" in os.environ:
        return None
    for file in unit_files(units):
        if PASSWORD_CREDENTIAL.search(file.read_text("utf-8", "replace")):
            return f"the password of the service's account is a credential ({file}): only the service gets it"
    return None


def _printed(config: Path) -> Path:
    print(f"using {config.absolute()}", file=sys.stderr)
    return config


def _is_forbidden(error: BaseException) -> bool:
    """Return whether an error was caused by a file that this user may not read."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, PermissionError):
        found = found.__cause__
    return found is not None

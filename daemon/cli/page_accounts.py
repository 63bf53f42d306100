"""What `perceptd page` changes about who may use the page."""

import argparse
import getpass
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from daemon.cli.ownership import as_owner
from daemon.core.errors import Refused
from daemon.web.accounts import Accounts
from daemon.web.passwords import MOST_CHARS, password_problem

TOKEN_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@contextmanager
def accounts_in(state: Path) -> Iterator[Accounts]:
    """Yield the accounts of a page. Raises Refused.

    Root acts as the page's user, whose files they are: what root writes, the page could not read.
    """
    try:
        with as_owner(state) if state.is_dir() else nullcontext():
            yield Accounts(state)
    except PermissionError as error:
        raise Refused(f"only root and the page's own user may do that: {error.filename or state}") from error
    except OSError as error:
        raise Refused(f"the page's directory {state} cannot be used: {error.strerror or error}") from error


def change_accounts(options: argparse.Namespace, accounts: Accounts, url: str) -> int:
    """Do what the options say; return the exit code: 1 for a token that does not exist. Raises Refused."""
    if options.link:
        print(f"{url}link/{accounts.new_link()}")
        print("It logs in whoever opens it first, within ten minutes.", file=sys.stderr)
    elif options.set_password:
        try:
            accounts.set_password(options.role, _new_password(options.role))
        except ValueError as error:
            raise Refused(f"{error}; nothing was changed") from error
        print(f"the password of the {options.role} is set; browsers that were logged in as {options.role} log in again")
    elif options.token is not None:
        if TOKEN_NAME.fullmatch(options.token) is None:
            raise Refused("--token: expected a name of letters, digits, '.', '_' and '-'")
        try:
            print(accounts.new_token(options.token, options.role))
        except ValueError as error:
            raise Refused(str(error)) from error
        print(f"the token of {options.token} ({options.role}); send it as Authorization: Bearer TOKEN", file=sys.stderr)
    elif options.logout_all:
        print(f"ended sessions: {accounts.end_all_sessions()}")
    elif not accounts.revoke_token(options.revoke):
        names = ", ".join(f"{name} ({role})" for name, role in sorted(accounts.tokens().items())) or "none"
        print(f"there is no token {options.revoke}; there are: {names}", file=sys.stderr)
        return 1
    return 0


def _new_password(role: str) -> str:
    """Return what somebody types twice, or the first line of standard input."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"new password of the {role}: ")
        if getpass.getpass("again: ") != password:
            raise Refused("the two are not the same; nothing was changed")
    else:
        password = sys.stdin.readline(MOST_CHARS + 2).rstrip("\r\n")
    if (problem := password_problem(password)) is not None:
        raise Refused(f"{problem}; nothing was changed")
    return password

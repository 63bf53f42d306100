"""Runs other commands of perceptd in child processes. Their arguments have no secrets; a password goes by a pipe."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daemon.core.errors import Refused
from daemon.core.text import redact

# whatever the working directory holds, a child imports the same modules as its parent
BOOTSTRAP = "import sys; sys.path[:] = sys.argv.pop(1).split(':'); from daemon.cli.main import main; sys.exit(main())"

# all sources may take half a minute each, and a self-test on a small board two minutes
DOCTOR_S = 600.0
# a download over a slow line
BUNDLE_S = 3600.0
PAGE_S = 120.0

# what `perceptd page --link` says of each link
LINK_LASTS = "It logs in whoever opens it first, within ten minutes."

# of what a child says in a message
MAX_REASON_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Done:
    """How a command has ended. `errors` is empty where they went to the terminal."""

    code: int
    output: str
    errors: str = ""


class Commands(Protocol):
    """Runs commands of perceptd."""

    def run(self, arguments: Sequence[str], timeout_s: float, *, typed: str = "", shows_errors: bool = False) -> Done:
        """Run a command until it ends; `typed` is its standard input. Raises Refused when it takes too long."""


class Children:
    """Commands as child processes of this one."""

    def run(self, arguments: Sequence[str], timeout_s: float, *, typed: str = "", shows_errors: bool = False) -> Done:
        """Run a command. With `shows_errors`, standard error is that of this process: it may show progress there."""
        path = ":".join(os.path.abspath(each) for each in sys.path)  # noqa: PTH100  (the first may be empty)
        try:
            done = subprocess.run(  # noqa: S603  (this program itself)
                [sys.executable, "-I", "-c", BOOTSTRAP, path, *arguments],
                input=typed,
                stdout=subprocess.PIPE,
                stderr=None if shows_errors else subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Refused(f"perceptd {arguments[0]} has not ended within {timeout_s:g} s") from error
        except OSError as error:
            raise Refused(f"perceptd {arguments[0]} cannot be started: {error.strerror or error}") from error
        return Done(done.returncode, done.stdout, done.stderr or "")


@dataclass(frozen=True, slots=True)
class Checked:
    """A finding of doctor: `level` is good, warning or failure."""

    check: str
    level: str
    found: str
    remedy: str | None


def doctor(commands: Commands, config: Path) -> list[Checked]:
    """Return what `perceptd doctor` finds. Raises Refused when it does not run to its end."""
    done = commands.run(["doctor", "--config", str(config), "--json"], DOCTOR_S)
    try:
        return [Checked(**finding) for finding in json.loads(done.output)["findings"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"perceptd doctor did not run to its end: {_reason(done)}") from error


def get_bundle(commands: Commands, name: str, from_dir: Path | None) -> None:
    """Make a bundle by its recipe, with progress on standard error. Raises Refused."""
    source = [] if from_dir is None else ["--from", str(from_dir)]
    done = commands.run(["bundle", "get", name, *source], BUNDLE_S, shows_errors=True)
    if done.code != 0:
        raise Refused(f"the bundle {name} could not be made; the reason is above")


def set_page_password(commands: Commands, config: Path, password: str) -> None:
    """Set the password of the page's owner. Raises Refused, with the reason."""
    done = commands.run(["page", "--config", str(config), "--set-password"], PAGE_S, typed=f"{password}\n")
    if done.code != 0:
        raise Refused(_reason(done))


def page_link(commands: Commands, config: Path) -> tuple[str, str]:
    """Return a link that logs in at the page, and why it may lead nowhere, or "". Raises Refused."""
    done = commands.run(["page", "--config", str(config), "--link"], PAGE_S)
    if done.code != 0:
        raise Refused(_reason(done))
    return done.output.strip(), redact(done.errors.replace(LINK_LASTS, "").strip())


def _reason(done: Done) -> str:
    return redact(done.errors.strip()[-MAX_REASON_CHARS:]) or f"it has ended with exit code {done.code}"

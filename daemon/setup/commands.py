"""Runs other commands of perceptd in child processes. Their arguments have no secrets; a password goes by a pipe."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
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

    def follow(self, arguments: Sequence[str], timeout_s: float, take: Callable[[str], None]) -> Done:
        """Run a command until it ends; `take` gets each of its lines. Raises Refused when it takes too long.

        Its standard error is that of this process: it shows progress there.
        """


class Children:
    """Commands as child processes of this one."""

    def run(self, arguments: Sequence[str], timeout_s: float, *, typed: str = "", shows_errors: bool = False) -> Done:
        """Run a command. With `shows_errors`, standard error is that of this process: it may show progress there."""
        try:
            done = subprocess.run(  # noqa: S603  (this program itself)
                _command(arguments),
                input=typed,
                stdout=subprocess.PIPE,
                stderr=None if shows_errors else subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _late(arguments, timeout_s) from error
        except OSError as error:
            raise _unstarted(arguments, error) from error
        return Done(done.returncode, done.stdout, done.stderr or "")

    def follow(self, arguments: Sequence[str], timeout_s: float, take: Callable[[str], None]) -> Done:
        """Run a command, and take its lines as they come."""
        lines: list[str] = []
        try:
            process = subprocess.Popen(  # noqa: S603  (this program itself)
                _command(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
            )
        except OSError as error:
            raise _unstarted(arguments, error) from error
        deadline = threading.Timer(timeout_s, process.kill)
        deadline.name = f"setup/{arguments[0]}"
        deadline.start()
        with process:
            try:
                for line in process.stdout or ():
                    lines.append(line)
                    take(line)
                process.wait()
                is_late = not deadline.is_alive()
            finally:
                # whoever interrupts this does not wait for it
                process.kill()
                deadline.cancel()
                deadline.join()
        if is_late:
            raise _late(arguments, timeout_s)
        return Done(process.returncode, "".join(lines))


@dataclass(frozen=True, slots=True)
class Checked:
    """A finding of doctor: `level` is good, warning or failure."""

    check: str
    level: str
    found: str
    remedy: str | None


def doctor(commands: Commands, config: Path, take: Callable[[Checked], None]) -> list[Checked]:
    """Return what `perceptd doctor` finds; `take` gets each finding when it comes.

    Raises Refused when it does not run to its end.
    """
    findings: list[Checked] = []
    done = commands.follow(["doctor", "--config", str(config), "--json"], DOCTOR_S, partial(_take, findings, take))
    try:
        json.loads(done.output)
    except ValueError as error:
        found = f"perceptd doctor did not run to its end: exit code {done.code}, and the reason is above"
        raise Refused(found) from error
    return findings


def _take(findings: list[Checked], take: Callable[[Checked], None], line: str) -> None:
    """Read a line of doctor: it has at most one finding."""
    try:
        finding = Checked(**json.loads(line.strip().strip(",")))
    except (ValueError, TypeError):
        return
    findings.append(finding)
    take(finding)


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


def _command(arguments: Sequence[str]) -> list[str]:
    path = ":".join(os.path.abspath(each) for each in sys.path)  # noqa: PTH100  (the first may be empty)
    return [sys.executable, "-I", "-c", BOOTSTRAP, path, *arguments]


def _late(arguments: Sequence[str], timeout_s: float) -> Refused:
    return Refused(f"perceptd {arguments[0]} has not ended within {timeout_s:g} s")


def _unstarted(arguments: Sequence[str], error: OSError) -> Refused:
    return Refused(f"perceptd {arguments[0]} cannot be started: {error.strerror or error}")


def _reason(done: Done) -> str:
    return redact(done.errors.strip()[-MAX_REASON_CHARS:]) or f"it has ended with exit code {done.code}"

"""The man page of perceptd, from the parser of its arguments: each command, with all of its options."""

import argparse
import re
from collections.abc import Iterator
from datetime import datetime, timezone

from daemon import __version__

FILES = {
    "/etc/perceptd/config.yaml": "what the service watches, and where it publishes",
    "/var/lib/perceptd": "state of the service: what it was taught, events it has kept, messages not sent yet",
    "/var/lib/perceptd-bundles": "bundles that `perceptd bundle get` has made",
    "/opt/perceptd/docs": "all pages of the documentation, as Markdown",
}
SEE_ALSO = "systemctl(1), journalctl(1), mosquitto(8)"


def man_page(parser: argparse.ArgumentParser, time_s: int) -> str:
    """Return the page perceptd(1) in roff; `time_s` is its date, in seconds since 1970."""
    day = datetime.fromtimestamp(time_s, timezone.utc).strftime("%Y-%m-%d")
    purpose = (parser.description or "").rstrip(".")
    return "\n".join(
        [
            f'.TH PERCEPTD 1 "{day}" "perceptd {__version__}" "User Commands"',
            ".SH NAME",
            f"perceptd \\- {_roff(purpose[:1].lower() + purpose[1:])}",
            ".SH SYNOPSIS",
            *_usage(parser),
            ".SH COMMANDS",
            *(line for command in leaves(parser) for line in _command(command)),
            ".SH EXAMPLES",
            ".nf",
            # the first line of the examples is their heading in --help
            *(_roff(line) for line in (parser.epilog or "").splitlines()[1:]),
            ".fi",
            ".SH FILES",
            *(line for path, meaning in FILES.items() for line in _term(_bold(path), meaning)),
            ".SH SEE ALSO",
            SEE_ALSO,
            "",
        ]
    )


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Return the parsers of the commands below a parser that have no commands themselves, in its order."""
    commands = [action.choices for action in actions_of(parser) if isinstance(action.choices, dict)]
    if not commands:
        yield parser
    for children in commands:
        for child in children.values():
            yield from leaves(child)


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the arguments of a parser, which argparse lists in no public way."""
    return parser._actions


def _command(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f".SS {_roff(parser.prog)}"
    yield from _usage(parser)
    if parser.description:
        yield ".PP"
        yield _roff(parser.description)
    for action in actions_of(parser):
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            yield from _term(_names(action), _help(action, parser.prog))
    if parser.epilog:
        yield ".PP"
        yield from (line for each in parser.epilog.splitlines() for line in (_roff(each.strip()), ".br"))


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    text = " ".join(parser.format_usage().removeprefix("usage: ").split()).replace(" [-h]", "")
    yield f"{_bold(parser.prog)} {_roff(text.removeprefix(parser.prog).strip())}".rstrip()


def _term(name: str, meaning: str) -> list[str]:
    return [".TP", name, _roff(meaning)]


def _names(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
    metavar = action.metavar or choices or action.dest.upper()
    value = f"\\fI{_roff(' '.join([metavar] if isinstance(metavar, str) else metavar))}\\fR"
    if not action.option_strings:
        return value
    names = ", ".join(_bold(name) for name in action.option_strings)
    return names if action.nargs == 0 else f"{names} {value}"


def _help(action: argparse.Action, prog: str) -> str:
    return (action.help or "") % {**vars(action), "prog": prog}


def _bold(text: str) -> str:
    return f"\\fB{_roff(text)}\\fR"


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    # a dot at the start of a line begins a request
    return re.sub(r"^(\.)", r"\\&\1", escaped, flags=re.MULTILINE)

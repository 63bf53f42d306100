"""A parser whose message about an option without a value says what the value is."""

import argparse
import re
from typing import NoReturn

# as argparse says it
WITHOUT_VALUE = re.compile(r"argument (\S+): expected (?:one|at least one) argument")


class Parser(argparse.ArgumentParser):
    """The parser of one command. Parsers of its own commands are of this class too."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and end with exit code 2."""
        found = WITHOUT_VALUE.fullmatch(message)
        action = None if found is None else self._option_string_actions.get(found[1].split("/")[0])
        super().error(message if action is None else f"{without_value(action)}\n{self.prog} --help has more")


def without_value(action: argparse.Action) -> str:
    """Return what to say of an option without a value."""
    option = action.option_strings[-1]
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    meaning = f"; {action.help}" if action.help else ""
    return f"{option} needs a value: {option} {value}{meaning}"

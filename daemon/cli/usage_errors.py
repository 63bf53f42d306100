"""A parser whose messages say what the value of an option is, and which program does what is no command here."""

import argparse
import re
from typing import NoReturn

# as argparse says it
WITHOUT_VALUE = re.compile(r"argument (\S+): expected (?:one|at least one) argument")

UNKNOWN_COMMAND = re.compile(r"argument COMMAND: invalid choice: '([a-z]+)'.*", re.DOTALL)

# what people type of the service, which systemd runs
OF_THE_SERVICE = {
    "status": "systemctl status perceptd, and: sudo perceptd doctor",
    "start": "sudo systemctl start perceptd",
    "stop": "sudo systemctl stop perceptd",
    "restart": "sudo systemctl restart perceptd",
    "log": "sudo journalctl -u perceptd",
    "logs": "sudo journalctl -u perceptd",
}


class Parser(argparse.ArgumentParser):
    """The parser of one command. Parsers of its own commands are of this class too."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and end with exit code 2."""
        unknown = UNKNOWN_COMMAND.fullmatch(message)
        if unknown is not None and unknown[1] in OF_THE_SERVICE:
            super().error(f"there is no command {unknown[1]}; of the service: {OF_THE_SERVICE[unknown[1]]}")
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

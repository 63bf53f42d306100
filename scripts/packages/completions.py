"""The completion of perceptd's arguments in bash and zsh, which shtab makes from the parser."""

import argparse

import shtab

from packages.manpages import actions_of, leaves

# by the name of a value in --help
FILES = ("FILE", "CSV", "YAML")
DIRECTORIES = ("DIR",)


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script for `shell`, which is bash or zsh. Values that are files or folders complete too."""
    for command in leaves(parser):
        for action in actions_of(command):
            name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
            if any(part in name for part in DIRECTORIES):
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif any(part in name for part in FILES):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))

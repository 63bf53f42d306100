"""What is wrong with the text of a config, line by line. Pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from daemon.config.redacted import redacted_problem

# a text that is no config at all may have as many problems as lines
MAX_PROBLEMS = 100


class ConfigProblem(TypedDict):
    """One problem. `line` counts from 1; None: it is a problem of no line."""

    line: int | None
    text: str


def problems_by_line(path: Path, problems: Sequence[str]) -> list[ConfigProblem]:
    """Return the problems of a DocumentError of this file. Each begins with file and line, as compilers do."""
    return [_problem(f"{path}:", problem) for problem in problems[:MAX_PROBLEMS]]


def _problem(file: str, problem: str) -> ConfigProblem:
    line, separator, text = problem.removeprefix(file).partition(": ")
    if problem.startswith(file) and separator and line.isdecimal():
        return ConfigProblem(line=int(line), text=redacted_problem(text))
    return ConfigProblem(line=None, text=redacted_problem(problem.removeprefix(file).strip()))

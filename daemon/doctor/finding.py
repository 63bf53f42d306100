"""Findings: what doctor reports of one check, and how it prints it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from daemon.core.text import redact

Level = Literal["good", "warning", "failure"]

MARKS: dict[Level, str] = {"good": "ok", "warning": "WARN", "failure": "FAIL"}

# 1: the node works, but something should be looked at; 2: the node will not work
EXIT_CODES: dict[Level, int] = {"good": 0, "warning": 1, "failure": 2}

# the width of the column of checks; a longer name moves the text of its line to the right
CHECK_CHARS = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what was found, and `remedy`, what to do about it."""

    check: str
    level: Level
    found: str
    remedy: str | None = None

    def line(self) -> str:
        """The finding on one line, without credentials."""
        text = self.found if self.remedy is None else f"{self.found}; {self.remedy}"
        return redact(" ".join(f"{MARKS[self.level]:<4}  {self.check:<{CHECK_CHARS}}  {text}".split("\n")))

    def to_json(self) -> dict[str, str | None]:
        """The finding for scripts, without credentials."""
        remedy = None if self.remedy is None else redact(self.remedy)
        return {"check": self.check, "level": self.level, "found": redact(self.found), "remedy": remedy}


def exit_code(findings: Iterable[Finding]) -> int:
    """0: all findings are good; 1: there are warnings; 2: there is a failure."""
    return max((EXIT_CODES[finding.level] for finding in findings), default=0)

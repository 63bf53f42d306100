"""What one check has found, and how it is said."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from daemon.redact import redact

Level = Literal["good", "warning", "failure"]

MARKS: dict[Level, str] = {"good": "ok", "warning": "WARN", "failure": "FAIL"}
EXIT_CODES: dict[Level, int] = {"good": 0, "warning": 1, "failure": 2}
"""1: works, but something is to be looked at; 2: will not work."""

CHECK_CHARS = 16
"""The column in which findings begin; longer names push it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, and, where it is wrong, what to do."""

    check: str
    level: Level
    found: str
    remedy: str | None = None

    def line(self) -> str:
        """On one line, without credentials."""
        told = self.found if self.remedy is None else f"{self.found}; {self.remedy}"
        return redact(" ".join(f"{MARKS[self.level]:<4}  {self.check:<{CHECK_CHARS}}  {told}".split("\n")))

    def to_json(self) -> dict[str, str | None]:
        """For scripts, without credentials."""
        remedy = None if self.remedy is None else redact(self.remedy)
        return {"check": self.check, "level": self.level, "found": redact(self.found), "remedy": remedy}


def exit_code(findings: Iterable[Finding]) -> int:
    """0: all good, 1: warnings, 2: a failure."""
    return max((EXIT_CODES[finding.level] for finding in findings), default=0)

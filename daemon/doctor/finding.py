"""What one check has found, and how it is said."""

import ctypes
import importlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from daemon.core.errors import ChildCrashed, ChildError
from daemon.core.text import redact
from daemon.runtime.child import Child
from daemon.runtime.child_main import Failed

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


LOAD_S = 60.0
"""A slow card takes many seconds to read what TFLite and OpenCV are made of."""


MISSING = "is not installed"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the child has said, or else what went wrong."""

    said: str
    trouble: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is no such library."""
        return self.trouble is not None and self.trouble.endswith(MISSING)


def probe(library: str, target: Callable[..., None], *arguments: str, deadline_s: float = LOAD_S) -> ProbeResult:
    """Run a child's function that uses the library; a crash is told by its name and signal."""
    try:
        with Child(target, *arguments) as child:
            return ProbeResult(child.result(deadline_s))
    except ChildCrashed as error:
        return ProbeResult("", f"{library} crashed: {error.signal_name}")
    except ChildError as error:
        return ProbeResult("", f"{library}: {error}" if not str(error).startswith(library) else str(error))


def import_module(name: str) -> None:
    """In the child: import a module. Raises Failed with the reason when that fails."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise Failed(f"{error.name} {MISSING}") from error
    except Exception as error:  # numpy raises RuntimeError on an old processor, bindings OSError without their library
        raise Failed(f"cannot be imported: {error}") from error


def print_library_version(path: str, function: str) -> None:
    """In the child: load a shared library and write what its function, which gives a C string, says.

    Raises Failed with the reason when that fails.
    """
    try:
        library = ctypes.CDLL(path)
        call = getattr(library, function)
    except OSError as error:
        is_missing = str(error).startswith(f"{path}: cannot open shared object file")
        raise Failed(f"{path} {MISSING}" if is_missing else f"cannot be loaded: {error}") from error
    except AttributeError as error:
        raise Failed(f"has no function {function}") from error
    call.restype = ctypes.c_char_p
    said = call() or b""
    print(json.dumps(said.decode("utf-8", "replace")))  # noqa: T201  (the parent reads it)

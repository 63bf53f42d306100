"""Loads a library in a child process first, where it may crash."""

import ctypes
import importlib
import json
from dataclasses import dataclass

from daemon.errors import ChildError, Crashed
from daemon.runtime.child import Child
from daemon.runtime.inside import Failed

LOAD_S = 60.0
"""A slow card takes many seconds to read what TFLite and OpenCV are made of."""

IMPORT = "daemon.doctor.trial:import_module"
VERSION = "daemon.doctor.trial:print_library_version"

MISSING = "is not installed"


@dataclass(frozen=True, slots=True)
class Trial:
    """What the child has said, or else what went wrong."""

    said: str
    trouble: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is no such library."""
        return self.trouble is not None and self.trouble.endswith(MISSING)


def tried(library: str, target: str, *arguments: str, deadline_s: float = LOAD_S) -> Trial:
    """Run a child's function that uses the library; a crash is told by its name and signal."""
    try:
        with Child(target, *arguments) as child:
            return Trial(child.result(deadline_s))
    except Crashed as error:
        return Trial("", f"{library} crashed: {error.signal_name}")
    except ChildError as error:
        return Trial("", f"{library}: {error}" if not str(error).startswith(library) else str(error))


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

"""Probes: run code that may crash in a child process, and report how it ended."""

import ctypes
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.errors import ChildCrashed, ChildError, ChildTimeout
from daemon.runtime.child import Child
from daemon.runtime.child_main import Failed

# a slow card takes many seconds to read TFLite and OpenCV
LOAD_S = 60.0

LATE_REMEDY = "see what else keeps the processor or the card busy, and run doctor again"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The output of a probe, or the problem that ended it.

    `signal_name` is the signal that ended its process; `is_missing`: the library is not installed; `is_late`: the probe
    has not ended in time.
    """

    output: str
    problem: str | None = None
    signal_name: str | None = None
    is_missing: bool = False
    is_late: bool = False


def probe(library: str, target: Callable[..., None], *arguments: str, deadline_s: float = LOAD_S) -> ProbeResult:
    """Call `target` with the arguments in a child process; `library` is the name for messages."""
    try:
        with Child(target, *arguments) as child:
            return ProbeResult(child.result(deadline_s))
    except ChildCrashed as error:
        return ProbeResult("", f"{library} crashed: {error.signal_name}", error.signal_name)
    except ChildError as error:
        return ProbeResult("", f"{library}: {error}", is_late=isinstance(error, ChildTimeout))


def probe_module(package: str, module: str) -> ProbeResult:
    """Import a module of a Python package; the output is empty."""
    return _library_result(probe(package, import_module, module))


def probe_shared_library(path: str, function: str) -> ProbeResult:
    """Load a shared library; the output is what its function returns, a C string."""
    return _library_result(probe(path, read_library_version, path, function))


def import_module(name: str) -> None:
    """In the child process: import a module. Raises Failed when that fails."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        _report(missing=error.name)
    except Exception as error:  # numpy raises RuntimeError on an old processor, bindings OSError without their library
        raise Failed(f"cannot be imported: {error}") from error
    else:
        _report(version="")


def read_library_version(path: str, function: str) -> None:
    """In the child process: load a shared library and call its function. Raises Failed when that fails."""
    try:
        library = ctypes.CDLL(path)
        call = getattr(library, function)
    except OSError as error:
        if str(error).startswith(f"{path}: cannot open shared object file"):
            _report(missing=path)
            return
        raise Failed(f"cannot be loaded: {error}") from error
    except AttributeError as error:
        raise Failed(f"has no function {function}") from error
    call.restype = ctypes.c_char_p
    _report(version=(call() or b"").decode("utf-8", "replace"))


def _report(**values: str | None) -> None:
    print("\n" + json.dumps(values))  # noqa: T201  (the parent reads it; the library may have printed before it)


def _library_result(result: ProbeResult) -> ProbeResult:
    if result.problem is not None:
        return result
    report = json.loads(result.output.splitlines()[-1])
    if (missing := report.get("missing")) is not None:
        return ProbeResult("", f"{missing} is not installed", is_missing=True)
    return ProbeResult(report["version"])

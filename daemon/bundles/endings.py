"""What it says of a step that its process failed: in words, and whose fault that is. Pure."""

from daemon.errors import ChildError, Crashed, Late, UpdateError

OUT_OF_MEMORY = ("SIGABRT", "SIGKILL")
"""How C++ ends without memory, and how the system ends others then."""


def of_trial(error: ChildError, memory_mb: int) -> UpdateError:
    """The process that tried a bundle, for which so much memory was declared: it is the bundle's fault."""
    return UpdateError("bundle", _tried(error, memory_mb))


def of_fetch(error: ChildError) -> UpdateError:
    """A process that fetches: what is read there comes from the source."""
    return UpdateError("source", f"not done within {error.deadline_s:g} s" if isinstance(error, Late) else str(error))


def _tried(error: ChildError, memory_mb: int) -> str:
    if isinstance(error, Late):
        return f"is not done within {error.deadline_s:g} s"
    if not isinstance(error, Crashed):
        return str(error)
    if error.signal_name == "SIGXCPU":
        return "uses up its processor time, and is not done"
    if error.signal_name in OUT_OF_MEMORY:
        return f"{error}, as where more than the {memory_mb} MB that were declared are needed"
    return f"its models crash the runtime: {error}"

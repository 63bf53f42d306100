"""What it says of a step that its process failed: in words, and whose fault that is. Pure."""

from daemon.errors import ChildError, Crashed, Late, UpdateError

KILLED, ABORTED = "SIGKILL", "SIGABRT"
"""How the system ends whoever it takes memory from, and how C++ ends that gets none."""


def of_trial(error: ChildError, memory_mb: int) -> UpdateError:
    """The process that tried a bundle, for which so much memory was declared: mostly it is the bundle's fault."""
    if isinstance(error, Crashed) and error.signal_name == KILLED:
        return UpdateError("memory", f"{error}: the system may have had no memory left")
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
    if error.signal_name == ABORTED:
        return f"{error}, as where more than the {memory_mb} MB that were declared are needed"
    return f"its models crash the runtime: {error}"

"""Guards the load of a bundle: every failure becomes an UpdateError, and too little memory is noticed before."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.core.errors import DamagedBundle, Refused, UpdateError, shortage_behind

log = logging.getLogger(__name__)

KB_PER_MB = 1024


@contextmanager
def guarded_load() -> Iterator[None]:
    """Turns every failure to load a bundle into an UpdateError, mostly of kind bundle.

    Raises OSError where the system lacks descriptors or threads for a moment: the bundle is not to blame.
    """
    try:
        yield
    except Refused as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        if isinstance(error, DamagedBundle):
            raise UpdateError("disk", str(error)) from error
        raise UpdateError("bundle", str(error)) from error
    except MemoryError as error:
        raise UpdateError("memory", "not enough memory to load it") from error
    except Exception as error:
        if (shortage := shortage_behind(error)) is not None:
            raise shortage from None
        log.exception("a bundle could not be loaded")
        raise UpdateError("bundle", f"cannot be loaded: {type(error).__name__}: {error}") from error


def check_memory(needed_mb: int) -> None:
    """Raises UpdateError when less memory than this is available."""
    available_mb = available_memory_mb()
    if needed_mb > available_mb:
        raise UpdateError("memory", f"needs {needed_mb} MB of memory, {available_mb} MB are available")


def available_memory_mb() -> int:
    """The memory that programs can get without swapping; see proc(5)."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kb = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kb // KB_PER_MB

"""The descriptors that systemd has passed to this process, as sd_listen_fds(3) says. Light: the page imports it."""

import os
from collections.abc import MutableMapping
from contextlib import suppress

FIRST_DESCRIPTOR = 3
MAX_DESCRIPTORS = 64


def passed_descriptors(environment: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR) -> list[tuple[int, str]]:
    """Return the passed descriptors with their names, from `first` on; none without systemd.

    The variables are removed and no child process inherits the descriptors. Raises ValueError for a wrong count.
    """
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    pid, count, joined = (environment.pop(name, "") for name in names)
    if pid != str(os.getpid()):
        return []
    if not count.isdecimal() or not 0 < int(count) <= MAX_DESCRIPTORS:
        raise ValueError(f"LISTEN_FDS={count[:20]}: expected 1 to {MAX_DESCRIPTORS} sockets")
    given = joined.split(":")
    found = []
    for place in range(int(count)):
        with suppress(OSError):  # it is closed already
            os.set_inheritable(first + place, False)
            found.append((first + place, given[place] if place < len(given) else ""))
    return found

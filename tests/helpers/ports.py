"""Free loopback ports, each returned once, even to test processes that ask at the same time."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

import pytest

# below the ports that Linux uses for outgoing connections, so that none of these is taken by chance
FIRST, LAST = 20_000, 31_999

_RANDOM = random.Random()
_given: set[int] = set()
_claims: int | None = None


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no address ::1")


def free_port() -> int:
    """Return a loopback port on which nobody listens. No other call returns it while this process lives."""
    while True:
        port = _RANDOM.randint(FIRST, LAST)
        if port not in _given and _claim(port) and _is_free(port):
            return port


def _claim(port: int) -> bool:
    """Lock the byte of this number in a file that all test processes of this user share, until this process ends."""
    global _claims
    if _claims is None:
        path = Path(tempfile.gettempdir()) / f"perceptd-tests-{os.getuid()}.ports"
        _claims = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

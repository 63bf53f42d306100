"""The listening local socket: from systemd, or made in the state directory. It outlives the nodes of a process."""

import logging
import os
import socket
import stat
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from daemon.runtime.local import MAX_PATH_BYTES, SOCKET_NAME
from daemon.runtime.passed_sockets import FIRST_DESCRIPTOR, passed_descriptors

log = logging.getLogger(__name__)

# connections that wait while one node ends and the next one starts
BACKLOG = 64

# another daemon answers at once, even when it is busy: the kernel takes the connection
TRY_S = 1.0

MODE = 0o600


class LocalSocket:
    """Listens for programs of this machine. A context manager, used by one thread.

    `problem` says why nobody can connect; None: somebody can.
    """

    def __init__(self, passed: socket.socket | None = None) -> None:
        """`passed` is the socket that the service manager has made; None: the daemon makes its own."""
        self._passed = passed
        self._own: socket.socket | None = None
        self._path: Path | None = None
        self.problem: str | None = None

    @classmethod
    def from_environment(
        cls, environment: MutableMapping[str, str] = os.environ, first: int = FIRST_DESCRIPTOR
    ) -> "LocalSocket":
        """Return the socket that systemd has passed, if it has, among the descriptors from `first` on."""
        try:
            passed = passed_descriptors(environment, first)
        except ValueError as error:
            log.warning("the sockets of systemd are ignored: %s", error)
            passed = []
        named = [descriptor for descriptor, name in passed if name == SOCKET_NAME]
        with suppress(OSError):
            return cls(_listening(named[0]) if named else None)
        return cls()

    def listener(self, path: Path) -> socket.socket | None:
        """Return the listening socket, which this object closes; None: there is none, see `problem`.

        `path` is that of the daemon's own socket. The socket of systemd has one of its own.
        """
        if self._passed is not None:
            return self._passed
        if self._own is None or self._path != path:
            self._close_own()
            try:
                self._own, self._path, self.problem = _made(path), path, None
            except OSError as error:
                self.problem = f"no program of this machine can ask this daemon: {path}: {error.strerror or error}"
                log.warning("%s", self.problem)
        return self._own

    def __enter__(self) -> "LocalSocket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_own()
        if self._passed is not None:
            self._passed.close()

    def _close_own(self) -> None:
        if self._own is not None and self._path is not None:
            self._own.close()
            with suppress(OSError):
                self._path.unlink()
            self._own = self._path = None


def _listening(descriptor: int) -> socket.socket | None:
    """Return a passed socket; None where it is no listening one of this kind. Raises OSError."""
    found = socket.socket(fileno=descriptor)
    listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    if found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM and listens:
        return found
    found.detach()
    log.warning("the socket %s that systemd has passed is ignored: expected ListenStream= with a path", SOCKET_NAME)
    return None


def _made(path: Path) -> socket.socket:
    """Return a new listening socket for the owner alone. Raises OSError."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise OSError(f"the path of a socket may have {MAX_PATH_BYTES} bytes; set a shorter state_directory")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_stale(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), MODE)  # before bind, so that nobody else can connect for an instant
        made.bind(os.fspath(path))
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that has not ended by itself. Raises OSError where the path is something else."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(f"there is something else at {path}, which is no socket; remove it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TRY_S)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except FileNotFoundError:
            return
    raise FileExistsError("another daemon with the same state_directory answers there")

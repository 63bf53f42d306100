"""`perceptd page --listen`: where systemd listens for the page of the service."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from daemon.config.places import UNIT_DIRECTORIES, UNIT_DIRECTORY
from daemon.core.errors import Refused
from daemon.core.files import replace_file
from daemon.web.listening import DEFAULT_ADDRESS, DEFAULT_PORT, address_of, own_socket, url_host

SOCKET_UNIT = "perceptd-page.socket"
DROP_IN = "listen.conf"
SYSTEMCTL_S = 60.0

TEXT = """# Written by `perceptd page --listen {address}`.
[Socket]
ListenStream=
ListenStream={address}
# the address may belong to a network that is not up yet
FreeBind=yes
"""


def has_unit(directories: Sequence[Path] = UNIT_DIRECTORIES) -> bool:
    """Return whether systemd listens for the page of this machine."""
    return any((directory / SOCKET_UNIT).is_file() for directory in directories)


def listens_at(directory: Path = UNIT_DIRECTORY) -> tuple[str, int]:
    """Return where systemd listens, as `--listen` has written it."""
    try:
        lines = _drop_in(directory).read_text(encoding="utf-8").splitlines()
    except OSError:
        return DEFAULT_ADDRESS, DEFAULT_PORT
    addresses = [line.partition("=")[2].strip() for line in lines if line.startswith("ListenStream=")]
    return address_of(addresses[-1]) if addresses and addresses[-1] else (DEFAULT_ADDRESS, DEFAULT_PORT)


def listen_at(host: str, port: int, directory: Path = UNIT_DIRECTORY, systemctl: str = "systemctl") -> None:
    """Let systemd listen at another address, from now on. Raises Refused; then it listens where it did before.

    What the page listens at by default needs no drop-in.
    """
    path, before = _drop_in(directory), listens_at(directory)
    _write(path, host, port)
    try:
        # the page that runs holds the socket of before
        for command in (("daemon-reload",), ("stop", "perceptd-page.service"), ("restart", SOCKET_UNIT)):
            _run(systemctl, *command)
    except Refused as error:
        reason = _bind_problem(host, port) or str(error)
        _write(path, *before)
        try:
            _run(systemctl, "daemon-reload")
            _run(systemctl, "restart", SOCKET_UNIT)
        except Refused as failure:
            raise Refused(f"{reason}; the page listens nowhere now: {failure}") from failure
        raise Refused(f"{reason}; it stays at {_address(*before)}") from error


def link_remark(directory: Path = UNIT_DIRECTORY, systemctl: str = "systemctl") -> str | None:
    """Return why a link leads nowhere, or to another program; None: systemd listens for the page."""
    try:
        _run(systemctl, "is-active", "--quiet", SOCKET_UNIT)
    except Refused:
        if (reason := _bind_problem(*listens_at(directory))) is not None:
            return f"but {reason}. Give it another address: sudo perceptd page --listen 127.0.0.1:8100"
        return f"but {SOCKET_UNIT} does not listen: is perceptd running? systemctl status perceptd {SOCKET_UNIT}"
    return None


def _write(path: Path, host: str, port: int) -> None:
    """Write the drop-in of an address, or remove it. Raises Refused."""
    try:
        if (host, port) == (DEFAULT_ADDRESS, DEFAULT_PORT):
            path.unlink(missing_ok=True)
            if path.parent.is_dir() and not any(path.parent.iterdir()):
                path.parent.rmdir()
        else:
            # for everybody to read, as all units
            replace_file(path, TEXT.format(address=_address(host, port)).encode(), mode=0o644)
            path.parent.chmod(0o755)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}; run this as root") from error


def _run(systemctl: str, *command: str) -> None:
    done = subprocess.run(  # noqa: S603  (systemctl, found as the shell finds it)
        [systemctl, *command], capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False
    )
    if done.returncode != 0:
        raise Refused(f"systemctl {' '.join(command)} failed: {done.stderr.strip()[:300]}")


def _bind_problem(host: str, port: int) -> str | None:
    """Return why nobody can listen there, which systemctl does not say; None: one can."""
    try:
        own_socket(host, port).close()
    except Refused as error:
        return str(error)
    return None


def _address(host: str, port: int) -> str:
    return f"{url_host(host)}:{port}"


def _drop_in(directory: Path) -> Path:
    return directory / f"{SOCKET_UNIT}.d" / DROP_IN

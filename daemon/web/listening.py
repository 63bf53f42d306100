"""The sockets on which the page listens: systemd's, or one of its own."""

import os
import socket
from collections.abc import MutableMapping

from daemon.core.errors import Refused
from daemon.runtime.passed_sockets import passed_descriptors

DEFAULT_ADDRESS = "127.0.0.1"
DEFAULT_PORT = 8099
BACKLOG = 64


def passed_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd has passed to this process; none without it. Raises Refused."""
    try:
        return [socket.socket(fileno=descriptor) for descriptor, _ in passed_descriptors(environment)]
    except ValueError as error:
        raise Refused(str(error)) from error


def own_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address of this machine. Raises Refused."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error  # create_server adds the address once more
        raise Refused(f"the page cannot listen on {url_host(host)}:{port}: {reason}") from error


def address_of(text: str) -> tuple[str, int]:
    """Return host and port of an address such as 0.0.0.0, 192.168.1.5:8099 or [::]:8099. Raises Refused."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, bracket, after = text[1:].partition("]")
        port = after.removeprefix(":") if after or not bracket else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        if port.isdecimal() and 0 <= int(port) <= 65_535:
            return host, int(port)
    raise Refused(f"{text[:80]}: expected an address of this machine, such as 0.0.0.0, 192.168.1.5:8099 or [::]:8099")


def url_host(host: str) -> str:
    """Return a host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def is_local(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    return host == "::1" or host.startswith("127.")

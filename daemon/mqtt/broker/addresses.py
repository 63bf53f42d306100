"""The addresses of the brokers, tried in turn: each host of the config, and each address that its name has now."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.config.mqtt import host_and_port

# A name server that is hostile or wrong may give any number.
MAX_ADDRESSES = 16

Resolver = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a broker. `host` is the name in the config, against which TLS checks the certificate."""

    host: str
    port: int
    address: str

    def __str__(self) -> str:
        """Return host, port, and the address where the host is a name, for messages."""
        shown = host_and_port(self.host, self.port)
        return shown if self.address == self.host else f"{shown} ({self.address})"


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host in the system's order. Blocks for name servers. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # unlike the address alone, this text keeps the interface of a link-local address
    numeric = [socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0] for *_, sockaddr in found]
    return list(dict.fromkeys(numeric))[:MAX_ADDRESSES]


class Addresses:
    """Gives one address after another. A round has ended when every address was tried since the last success."""

    def __init__(self, hosts: Sequence[str], port: int, resolver: Resolver = resolve) -> None:
        self._hosts, self._port, self._resolver = hosts, port, resolver
        self._index = 0
        self._hosts_left = len(hosts)
        self._resolved: list[str] = []
        self._tried = 0

    @property
    def name(self) -> str:
        """Host and port of the present broker, for messages."""
        return host_and_port(self._hosts[self._index], self._port)

    def current(self) -> Address:
        """Return the address to try now. Resolves its name where that is due; raises OSError."""
        host = self._hosts[self._index]
        if not self._resolved:
            self._resolved = self._resolver(host, self._port)
        return Address(host, self._port, self._resolved[self._tried])

    @property
    def has_others(self) -> bool:
        """Whether there are other addresses than the present one."""
        return len(self._hosts) > 1 or len(self._resolved) > 1

    def begin_round(self) -> None:
        """Begin a round with the present address, because it works."""
        self._hosts_left = len(self._hosts)
        self._resolved = self._resolved[self._tried :] + self._resolved[: self._tried]
        self._tried = 0

    def advance(self) -> bool:
        """Go to the next address; return whether that ends a round."""
        self._tried += 1
        if self._tried < len(self._resolved):
            return False
        self._resolved, self._tried = [], 0  # the next round asks the name server again
        self._index = (self._index + 1) % len(self._hosts)
        self._hosts_left -= 1
        if self._hosts_left > 0:
            return False
        self._hosts_left = len(self._hosts)
        return True

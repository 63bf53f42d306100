"""A network of its own, with machines that have nothing but an address in it. It needs root."""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Network:
    """The machines of a network, each by its name, with the file of its namespace."""

    machines: Mapping[str, Path]

    @contextmanager
    def at(self, machine: str) -> Iterator[None]:
        """Put the calling thread at a machine during a block: its connections, its sockets, and what it starts."""
        with ExitStack() as stack:
            before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            stack.callback(os.close, before)
            there = os.open(self.machines[machine], os.O_RDONLY)
            stack.callback(os.close, there)
            _enter(there)
            try:
                yield
            finally:
                _enter(before)


@contextmanager
def network(addresses: Mapping[str, str]) -> Iterator[Network]:
    """Give a block a network with these machines, each at its address, such as 172.30.32.2/23."""
    mark = f"pt{os.getpid()}"
    switch = f"{mark}-switch"
    machines = {name: f"{mark}-{name}" for name in addresses}
    with ExitStack() as stack:
        for each in (switch, *machines.values()):
            _ip("netns", "add", each)
            stack.callback(_ip, "netns", "delete", each)
            _ip("-n", each, "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", "bridge", "up", "type", "bridge")
        for place, (name, machine) in enumerate(machines.items()):
            port = f"port{place}"
            _ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", machine)
            _ip("-n", switch, "link", "set", port, "master", "bridge", "up")
            _ip("-n", machine, "address", "add", addresses[name], "dev", "eth0")
            _ip("-n", machine, "link", "set", "eth0", "up")
        opened = {}
        for name, machine in machines.items():
            descriptor = os.open(NAMESPACES / machine, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            # what has other mounts finds it there too
            opened[name] = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        yield Network(opened)


def _ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True, capture_output=True, timeout=20)


def _enter(namespace: int) -> None:
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

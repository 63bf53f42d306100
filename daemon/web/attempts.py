"""How often somebody may try a password. Pure: token buckets, per address and for all strangers together."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from daemon.core.timing import NS_PER_S

# one address: so many attempts at once, then one in this time
ADDRESS_ATTEMPTS = 5
ADDRESS_EVERY_S = 20.0

# all addresses together from which nobody has logged in before: attackers with many addresses
STRANGERS_ATTEMPTS = 30
STRANGERS_EVERY_S = 5.0

# buckets that are kept; the one that was used longest ago goes first
MOST_ADDRESSES = 1000


@dataclass(slots=True)
class _Bucket:
    """Holds at most `size` attempts, and gets one back in each `every_s`."""

    size: int
    every_s: float
    left: float
    at_ns: int

    def wait_s(self, now_ns: int) -> float:
        """Return how long until there is an attempt; 0: there is one now."""
        gained = max(0, now_ns - self.at_ns) / NS_PER_S / self.every_s
        self.left, self.at_ns = min(self.size, self.left + gained), now_ns
        return 0.0 if self.left >= 1 else (1 - self.left) * self.every_s


class Attempts:
    """The attempts that are left. Used under a lock of the caller.

    A flood from many addresses uses up what strangers have together. Addresses from which somebody has logged in
    before do not share it, so the flood does not lock these out.
    """

    def __init__(self, now_ns: int) -> None:
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()
        self._strangers = _Bucket(STRANGERS_ATTEMPTS, STRANGERS_EVERY_S, STRANGERS_ATTEMPTS, now_ns)

    def __len__(self) -> int:
        """Return of how many addresses the attempts are counted."""
        return len(self._addresses)

    def take(self, address: str, now_ns: int, *, is_known: bool) -> float:
        """Use up one attempt and return 0; without one, return the seconds until there is one."""
        key = network_of(address)
        own = self._addresses.get(key)
        if own is None:
            own = _Bucket(ADDRESS_ATTEMPTS, ADDRESS_EVERY_S, ADDRESS_ATTEMPTS, now_ns)
        buckets = [own] if is_known else [own, self._strangers]
        wait_s = max(bucket.wait_s(now_ns) for bucket in buckets)
        if wait_s > 0:
            return wait_s
        for bucket in buckets:
            bucket.left -= 1
        self._addresses[key] = own
        self._addresses.move_to_end(key)
        while len(self._addresses) > MOST_ADDRESSES:
            self._addresses.popitem(last=False)
        return 0.0

    def give_back(self, address: str) -> None:
        """Give an address the attempt back that had the right password.

        Not more: who has a viewer's password must not get further attempts to guess the owner's.
        """
        if (own := self._addresses.get(network_of(address))) is not None:
            own.left = min(own.size, own.left + 1)


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or the /64 network that one customer has of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

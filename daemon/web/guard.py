"""Which requests the page answers: by which name it was reached, and which site a change comes from. Pure.

A site of an attacker can make its own name lead to this machine (DNS rebinding): such a request has a foreign Host.
It can also send requests from the browser of somebody who is logged in: these have a foreign Origin.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from daemon.web.accounts import ROLES, Role

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}

_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::(?P<port>\d{1,5}))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>[^/?#@\s]{1,270})")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,100}){0,10}")


@dataclass(frozen=True, slots=True)
class Trust:
    """From where the page may be used, beside this machine: names in lower case, and addresses of proxies.

    `login` is the role of whom a proxy has logged in; None: no proxy logs anybody in.
    """

    hosts: frozenset[str] = frozenset()
    proxies: tuple[Network, ...] = ()
    login: Role | None = None

    @classmethod
    def of(cls, hosts: Sequence[str], proxies: Sequence[str], login: object = None) -> "Trust":
        """Return the trust that the config describes. What is no address of a proxy, or no role, is left out."""
        names = (_host(host) for host in hosts)
        networks: tuple[Network, ...] = tuple(filter(None, map(_network, proxies)))
        role = next((role for role in ROLES if role == login), None)
        return cls(frozenset(name for name, _ in filter(None, names)), networks, role)

    def is_proxy(self, address: str) -> bool:
        """Return whether what this address forwards counts."""
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self.proxies)


@dataclass(frozen=True, slots=True)
class Visit:
    """How a request reached the page. `address` is the visitor's, `host` and `port` what the browser asked for.

    `prefix` is the path before the page's own, such as /api/hassio_ingress/TOKEN. `is_forwarded`: a trusted proxy
    says so. `role` is that of whom a trusted proxy has logged in.
    """

    address: str
    scheme: str
    host: str
    port: int
    prefix: str
    is_forwarded: bool
    role: Role | None = None

    @property
    def is_secure(self) -> bool:
        """Return whether the browser uses HTTPS."""
        return self.scheme == "https"


def visit_of(environ: Mapping[str, str], trust: Trust) -> Visit | None:
    """Return how a request came, by its WSGI environment; None where it names no valid host."""
    address, scheme = environ.get("REMOTE_ADDR", ""), environ.get("wsgi.url_scheme", "http")
    named, prefix = environ.get("HTTP_HOST", ""), ""
    is_proxy = trust.is_proxy(address)
    is_forwarded = False
    role: Role | None = None
    if is_proxy:
        if forwarded := _nearest(environ.get("HTTP_X_FORWARDED_HOST")):
            named, is_forwarded = forwarded, True
        scheme = _scheme(_nearest(environ.get("HTTP_X_FORWARDED_PROTO")), scheme)
        visitor = _address(_nearest(environ.get("HTTP_X_FORWARDED_FOR")) or "")
        address = address if visitor is None else str(visitor)
        prefix = _prefix(environ.get("HTTP_X_INGRESS_PATH") or environ.get("HTTP_X_FORWARDED_PREFIX") or "")
        # Home Assistant's proxy removes this header from what a browser sends
        role = trust.login if environ.get("HTTP_X_REMOTE_USER_ID") else None
    found = _host(named)
    if found is None:
        return None
    host, port = found
    return Visit(address, scheme, host, port or DEFAULT_PORTS[scheme], prefix, is_forwarded, role)


def host_problem(visit: Visit | None, trust: Trust, local_address: str) -> str | None:
    """Return why the page does not answer under this name; None if it does. `local_address` is this machine's end."""
    if visit is None:
        return "the request names no valid host"
    if visit.is_forwarded or visit.host in trust.hosts or _is_localhost(visit.host):
        return None
    parsed = _address(visit.host)
    if parsed is not None and parsed == _address(local_address):
        return None
    return f"the page does not answer as {visit.host}; if that is its name, add it to page.trusted_hosts in config.yaml"


def origin_problem(origin: str | None, visit: Visit, *, is_machine: bool) -> str | None:
    """Return why a request may not change anything; None if it may.

    Browsers name the site that a change comes from. A machine with a token is no browser, and need not.
    """
    if origin is None:
        return None if is_machine else "the request does not say which site it comes from (Origin)"
    matched = _ORIGIN.fullmatch(origin)
    found = None if matched is None else _host(matched["host"])
    if matched is None or found is None:
        return "the request comes from another site"
    host, port = found
    if (matched["scheme"], host, port or DEFAULT_PORTS[matched["scheme"]]) != (visit.scheme, visit.host, visit.port):
        asked = f"{visit.scheme}://{visit.host if ':' not in visit.host else f'[{visit.host}]'}:{visit.port}"
        return (
            f"the request comes from another site: from {origin}, to {asked}; behind a proxy, name its address in "
            "page.trusted_proxies of config.yaml, and let it forward X-Forwarded-Host with the port, and "
            "X-Forwarded-Proto"
        )
    return None


def _host(named: str) -> tuple[str, int | None] | None:
    """Return the name in lower case and the port of a host as a request or the config names it; None: it is none."""
    matched = _HOST.fullmatch(named.strip())
    if matched is None:
        parsed = _address(named.strip())  # the config may name an IPv6 address without brackets
        return None if parsed is None else (str(parsed), None)
    name = matched["v6"] or matched["name"].rstrip(".").lower()
    parsed = _address(name)
    if matched["v6"] is not None and parsed is None:
        return None
    port = None if matched["port"] is None else int(matched["port"])
    return (name if parsed is None else str(parsed), port) if name else None


def _is_localhost(host: str) -> bool:
    # browsers send localhost and all names below it to this machine, without asking a name server
    parsed = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (parsed is not None and parsed.is_loopback)


def _address(text: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _nearest(header: str | None) -> str | None:
    """Return the last of several values: the proxy next to the page has added it."""
    return None if header is None else header.rpartition(",")[2].strip() or None


def _scheme(forwarded: str | None, own: str) -> str:
    return forwarded.lower() if forwarded is not None and forwarded.lower() in DEFAULT_PORTS else own


def _prefix(text: str) -> str:
    prefix = text.rstrip("/")
    return prefix if _PREFIX.fullmatch(prefix) else ""

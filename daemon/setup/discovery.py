"""Finds the ONVIF cameras of the local network by WS-Discovery: asks all hosts once, and reads who answers."""

import html
import logging
import select
import socket
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit
from xml.etree.ElementTree import Element

from daemon.core.errors import InputError
from daemon.core.text import clean
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.setup.soap import elements, envelope, parse, text_of

log = logging.getLogger(__name__)

# WS-Discovery 1.0, section 2.4
GROUP, PORT = "239.255.255.250", 3702

# WS-Discovery (April 2005), which ONVIF uses
DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TO = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"

# Cameras answer to one of these types. Old ones know only the first.
TYPES = (
    ('xmlns:n="http://www.onvif.org/ver10/network/wsdl"', "n:NetworkVideoTransmitter"),
    ('xmlns:n="http://www.onvif.org/ver10/device/wsdl"', "n:Device"),
)

SCOPE = "onvif://www.onvif.org/"

# a multicast packet may get lost on a radio link
REPEAT_AFTER_S = 0.7

# hosts that answer without end are not read without end
MAX_ANSWERS, MAX_CAMERAS = 512, 64
MAX_DATAGRAM_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class Network:
    """Where and how long to ask. `interfaces` are numbers of network interfaces; None: all.

    A camera answers within half a second, and one on a weak radio link within two.
    """

    interfaces: tuple[int, ...] | None = None
    port: int = PORT
    listen_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Announced:
    """An ONVIF camera that has answered. `endpoint` is its lasting identity, `service` the URL of its ONVIF service.

    `name` is what its maker or owner calls it; empty where it does not say.
    """

    endpoint: str
    service: str
    name: str = ""


def discover(network: Network) -> list[Announced]:
    """Ask the network for ONVIF cameras, and return those that answer in time. Sends its question twice.

    Raises OSError when the system gives no socket.
    """
    deadline_ns = monotonic_ns() + round(network.listen_s * NS_PER_S)
    repeats_ns = [monotonic_ns() + round(min(REPEAT_AFTER_S, network.listen_s / 2) * NS_PER_S)]
    found: dict[str, Announced] = {}
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        poll = select.poll()
        poll.register(asker, select.POLLIN)
        _ask(asker, network)
        while (rest_s := seconds_until(deadline_ns)) and answers < MAX_ANSWERS and len(found) < MAX_CAMERAS:
            if repeats_ns and not seconds_until(repeats_ns[0]):
                repeats_ns.clear()
                _ask(asker, network)
            if poll.poll(1000 * (min(rest_s, seconds_until(repeats_ns[0])) if repeats_ns else rest_s)):
                answers += 1
                found |= {each.endpoint: each for each in _receive(asker) if each.endpoint not in found}
    if rest_s:
        log.warning("the search for cameras has ended early: %d answers, %d cameras", answers, len(found))
    return [*found.values()][:MAX_CAMERAS]


def probe(message_id: str, namespace: str, kind: str) -> bytes:
    """Return the question for devices of one type. `namespace` declares the prefix of `kind`."""
    header = (
        f"<a:Action>{DISCOVERY}/Probe</a:Action><a:MessageID>{html.escape(message_id)}</a:MessageID><a:To>{TO}</a:To>"
    )
    body = f"<d:Probe><d:Types {namespace}>{kind}</d:Types></d:Probe>"
    return envelope(body, header, f' xmlns:a="{ADDRESSING}" xmlns:d="{DISCOVERY}"')


def announced(datagram: bytes, sender: str) -> list[Announced]:
    """Return the cameras that an answer announces. `sender` is the address of the host that has sent it.

    Raises InputError when the answer is no SOAP message of bounded size. Other devices than cameras are left out.
    """
    matches = [*elements(parse(datagram), "ProbeMatch")][:MAX_CAMERAS]
    found = [_announced(match, sender) for match in matches if _is_camera(match)]
    return [each for each in found if each is not None]


def _announced(match: Element, sender: str) -> Announced | None:
    service = _service(text_of(match, "XAddrs").split(), sender)
    if service is None:
        return None
    scopes = text_of(match, "Scopes").split()
    name = " ".join(dict.fromkeys(filter(None, (_scope(scopes, "name"), _scope(scopes, "hardware")))))
    return Announced(text_of(match, "EndpointReference", "Address") or service, service, clean(name))


def _is_camera(match: Element) -> bool:
    is_transmitter = "NetworkVideoTransmitter" in text_of(match, "Types")
    return is_transmitter or any(scope.startswith(SCOPE) for scope in text_of(match, "Scopes").split())


def _service(addresses: Sequence[str], sender: str) -> str | None:
    """Return the URL of the service at the host that has sent the answer.

    Cameras also name addresses that nobody reaches: 0.0.0.0, link-local ones, those behind a router. And a login must
    not go to a host that another host has named.
    """
    urls = [urlsplit(address) for address in addresses if _is_usable(address)]
    if not urls:
        return None
    best = next((url for url in urls if url.hostname == sender), urls[0])
    host = sender if best.port is None else f"{sender}:{best.port}"
    return urlunsplit((best.scheme or "http", host, best.path, best.query, ""))


def _is_usable(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return False
    # a relative address has neither scheme nor host
    return parts.path.startswith("/") and parts.scheme in ("http", "https", "")


def _scope(scopes: Sequence[str], kind: str) -> str:
    """Return the value of `onvif://www.onvif.org/KIND/VALUE`."""
    prefix = f"{SCOPE}{kind}/"
    value = next((scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix)), "")
    return clean(unquote(value, errors="replace")).strip()


def _ask(asker: socket.socket, network: Network) -> None:
    interfaces = network.interfaces or [number for number, _ in socket.if_nameindex()]
    for interface in interfaces:
        try:
            # struct ip_mreqn: the kernel chooses the interface's own address
            chosen = struct.pack("4s4si", bytes(4), bytes(4), interface)
            asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
            for namespace, kind in TYPES:
                asker.sendto(probe(f"urn:uuid:{uuid.uuid4()}", namespace, kind), (GROUP, network.port))
        except OSError:
            continue  # an interface without an address, or one that is down


def _receive(asker: socket.socket) -> list[Announced]:
    try:
        datagram, (sender, _) = asker.recvfrom(MAX_DATAGRAM_BYTES)
    except OSError:
        return []
    try:
        return announced(datagram, sender)
    except InputError as error:
        log.debug("%s: %s", sender, error)
        return []

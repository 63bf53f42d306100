"""Finds MQTT brokers: on this machine, and by names that hosts of the local network announce (mDNS).

The one door to zeroconf.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from pydantic import ValidationError
from zeroconf import Error, IPVersion, ServiceBrowser, ServiceListener, Zeroconf

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.core.timing import NS_PER_S, monotonic_ns, seconds_until
from daemon.mqtt.broker.addresses import resolve
from daemon.mqtt.broker.peer import wants_login
from daemon.setup.found import FoundBroker
from daemon.setup.in_parallel import in_parallel

MQTT_PORT = 1883

BROKER, SECURE_BROKER = "_mqtt._tcp.local.", "_secure-mqtt._tcp.local."
HOME_ASSISTANT = "_home-assistant._tcp.local."

# How Home Assistant's own broker is called: on its network, and for its add-ons.
HOME_ASSISTANT_HOSTS = ("homeassistant.local", "core-mosquitto")

# hosts that announce names without end are not asked without end
MAX_NAMES = 32

# a host answers to a question of mDNS within a tenth of a second, and is asked again after one and three seconds
LISTEN_SHARE = 0.5

# for the addresses of all names whose announcement did not have them
DETAILS_S = 1.0

HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")


@dataclass(frozen=True, slots=True)
class Announcement:
    """A service that a host announces: its kind, the host's name, its addresses and its port."""

    kind: str
    server: str
    addresses: tuple[str, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a broker may be. `addresses` are those that its host announces; empty: only its name is known."""

    host: str
    port: int
    found_by: Literal["mdns", "localhost", "home-assistant"]
    tls: bool = False
    addresses: tuple[str, ...] = ()


def brokers(timeout_s: float, *, network: bool, port: int = MQTT_PORT) -> list[FoundBroker]:
    """Return the brokers that answer, and those that are announced, within about `timeout_s`.

    With `network`, asks the hosts of the local network by multicast, so ask the user first. `port` is that of brokers
    whose port nobody announces.
    """
    places = [Place("127.0.0.1", port, "localhost")]
    if network:
        places += places_of(announcements(timeout_s * LISTEN_SHARE), port)
        places += [Place(host, port, "home-assistant") for host in HOME_ASSISTANT_HOSTS]
    asked = in_parallel(_ask, list(dict.fromkeys(places)), timeout_s * (1 - LISTEN_SHARE))
    by_address = {(each.host, each.port): each for each in reversed(asked) if each is not None}
    return [*reversed(by_address.values())]


def places_of(announced: Sequence[Announcement], port: int) -> list[Place]:
    """Return where the announced hosts may have a broker. That of Home Assistant is at its usual port."""
    places = []
    for each in announced:
        name = each.server.rstrip(".")
        host = name if HOST.fullmatch(name) else next(iter(each.addresses), "")
        if HOST.fullmatch(host) is None:
            continue
        if each.kind == HOME_ASSISTANT:
            places.append(Place(host, port, "home-assistant", addresses=each.addresses))
        elif 0 < each.port <= 65_535:
            places.append(Place(host, each.port, "mdns", each.kind == SECURE_BROKER, each.addresses))
    return places


def announcements(listen_s: float) -> list[Announcement]:
    """Return what the hosts of the local network announce of brokers and of Home Assistant. Sends a multicast."""
    try:
        with Zeroconf(ip_version=IPVersion.V4Only) as network:
            names = _Names()
            browser = ServiceBrowser(network, [BROKER, SECURE_BROKER, HOME_ASSISTANT], listener=names)
            time.sleep(listen_s)  # hosts answer when they like
            browser.cancel()
            deadline_ns = monotonic_ns() + round(DETAILS_S * NS_PER_S)
            details = [_details(network, kind, name, seconds_until(deadline_ns)) for kind, name in names.found()]
            return [each for each in details if each is not None]
    except (OSError, Error):  # no network, or none that takes multicasts
        return []


class _Names(ServiceListener):
    """The names of services that hosts announce; filled by zeroconf's thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names: dict[tuple[str, str], None] = {}

    def found(self) -> list[tuple[str, str]]:
        """Return kind and name of each service."""
        with self._lock:
            return [*self._names]

    def add_service(self, _network: Zeroconf, kind: str, name: str) -> None:
        with self._lock:
            if len(self._names) < MAX_NAMES:
                self._names[kind, name] = None

    def update_service(self, _network: Zeroconf, kind: str, name: str) -> None:
        """Do nothing: the details are asked for at the end."""

    def remove_service(self, _network: Zeroconf, kind: str, name: str) -> None:
        with self._lock:
            self._names.pop((kind, name), None)


def _details(network: Zeroconf, kind: str, name: str, timeout_s: float) -> Announcement | None:
    info = network.get_service_info(kind, name, max(1, round(timeout_s * 1000)))
    if info is None or info.server is None:
        return None
    return Announcement(kind, info.server, tuple(info.parsed_addresses(IPVersion.V4Only)), info.port or 0)


def _ask(place: Place) -> FoundBroker | None:
    """Return the broker at a place. None: there is none, and nobody has announced one."""
    host = _reachable_host(place)
    try:
        config = MqttConfig(host=host, port=place.port, tls=TlsConfig() if place.tls else None)
    except ValidationError:
        return None
    needs_login = wants_login(config)
    if needs_login is None and place.found_by != "mdns":
        return None
    return FoundBroker(host, place.port, place.found_by, needs_login, place.tls)


def _reachable_host(place: Place) -> str:
    """Return the host's name, which lasts, where this machine can resolve it; else the announced address."""
    if not place.addresses:
        return place.host
    try:
        resolved = resolve(place.host, place.port)
    except OSError:  # names that end in .local need libnss-mdns
        resolved = []
    return place.host if set(resolved) & set(place.addresses) else place.addresses[0]

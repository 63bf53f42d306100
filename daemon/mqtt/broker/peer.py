"""Finds out what answers at the broker's address when it is not the broker that the config describes."""

import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass

from daemon.config.mqtt import MqttConfig
from daemon.core.text import clean
from daemon.mqtt.broker.troubles import Trouble

# How long a peer may take to connect and to answer. Servers of other protocols greet at once, or never.
ANSWER_S, GREETING_S = 2.0, 0.5

# a broker does not greet
NO_GREETING_S = 0.001

# CONNECT of MQTT 3.1.1 (section 3.1) with a clean session and without a client name, and the type of its answer.
CONNECT = bytes.fromhex("10 0c 0004 4d515454 04 02 003c 0000")
CONNACK = b"\x20"

# The last byte of CONNACK (MQTT 3.1.1, section 3.2.2.3): accepted, wrong login, not authorized.
ACCEPTED, WRONG_LOGIN, NOT_AUTHORIZED = 0, 4, 5
CONNACK_BYTES = 4

GET = b"GET / HTTP/1.0\r\n\r\n"

MAX_BYTES = 1024
SHOWN_CHARS = 40

WEB = b"HTTP/"
SERVERS = {WEB: "it is a web server", b"SSH-": "it is an SSH server", b"RTSP/": "it is an RTSP server"}
CLOSES = "it closes each connection without an answer"

CHECK = "check mqtt.host and mqtt.port in config.yaml"


@dataclass(frozen=True, slots=True)
class Answer:
    """The first bytes of a peer, whether it closed instead of sending any, and whether it speaks TLS."""

    first: bytes = b""
    has_closed: bool = False
    speaks_tls: bool = False

    @property
    def is_mqtt(self) -> bool:
        """Whether it is an answer to CONNECT."""
        return self.first.startswith(CONNACK)


def identify_peer(config: MqttConfig) -> Trouble | None:
    """Return what is wrong with the peer at the first broker's address; None if it may be the broker or is silent.

    Connects a few times, for a few seconds. Sends no password, and verifies no certificate.
    """
    address = config.addresses
    plain, secure = _ask(config, CONNECT), _ask(config, CONNECT, tls=True)
    expected, other = (plain, secure) if config.tls is None else (secure, plain)
    if expected.is_mqtt and config.transport == "websockets":
        finding = f"{address} speaks MQTT without websockets"
        return Trouble(finding, "set mqtt.transport to tcp, or mqtt.port to the broker's port for websockets")
    if expected.is_mqtt:
        return None
    if other.is_mqtt and config.tls is None:
        return Trouble(f"{address} speaks MQTT with TLS only", "set mqtt.tls, or mqtt.port to a port without TLS")
    if other.is_mqtt:
        return Trouble(f"{address} speaks MQTT without TLS", "remove mqtt.tls, or set mqtt.port to a port with TLS")
    web = _ask(config, GET, tls=secure.speaks_tls)
    first = plain.first or secure.first or web.first
    if first.startswith(WEB) and config.transport == "websockets":
        return None
    if first:
        return _stranger(address, _description(first))
    if secure.speaks_tls:
        finding = f"{address} speaks TLS, and mqtt.tls is not set"
        return None if config.tls else Trouble(finding, "set mqtt.tls, or mqtt.port to a port without TLS")
    return _stranger(address, CLOSES) if plain.has_closed else None


def wants_login(config: MqttConfig) -> bool | None:
    """Return whether the first broker refuses a connection without a login. None: no broker answers there.

    Takes four seconds at most, and the time in which the system resolves the name. Verifies no certificate.
    """
    answer = _ask(config, CONNECT, tls=config.tls is not None, greeting_s=NO_GREETING_S)
    code = answer.first[CONNACK_BYTES - 1] if answer.is_mqtt and len(answer.first) >= CONNACK_BYTES else None
    return {ACCEPTED: False, WRONG_LOGIN: True, NOT_AUTHORIZED: True}.get(code) if code is not None else None


def _ask(config: MqttConfig, request: bytes, *, tls: bool = False, greeting_s: float = GREETING_S) -> Answer:
    """Return what comes on a new connection, before or after the request."""
    speaks_tls = False
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((config.hosts[0], config.port), ANSWER_S))
            if tls:
                connection = stack.enter_context(_unverified().wrap_socket(connection, server_hostname=config.hosts[0]))
                speaks_tls = True
            return _first_answer(connection, request, speaks_tls, greeting_s)
    except ssl.SSLError as error:
        # a peer that speaks TLS says by an alert what it does not like
        return Answer(speaks_tls=speaks_tls or "ALERT" in (error.reason or ""))
    except ConnectionError as error:
        return Answer(has_closed=not isinstance(error, ConnectionRefusedError), speaks_tls=speaks_tls)
    except OSError:  # no connection, or silence
        return Answer(speaks_tls=speaks_tls)


def _first_answer(connection: socket.socket, request: bytes, speaks_tls: bool, greeting_s: float) -> Answer:
    connection.settimeout(greeting_s)
    try:
        first = connection.recv(MAX_BYTES)
    except TimeoutError:
        connection.settimeout(ANSWER_S)
        connection.sendall(request)
        first = connection.recv(MAX_BYTES)
    return Answer(first, not first, speaks_tls)


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing secret is sent
    return context


def _stranger(address: str, description: str) -> Trouble:
    websockets = "; if it carries MQTT over websockets, set mqtt.transport" if description == SERVERS[WEB] else ""
    return Trouble(f"what answers at {address} does not speak MQTT: {description}", CHECK + websockets)


def _description(first: bytes) -> str:
    for beginning, description in SERVERS.items():
        if first.startswith(beginning):
            return description
    line = first.split(b"\r")[0].split(b"\n")[0].decode("ascii", "replace")
    return f"it sends {clean(line, SHOWN_CHARS)!r}" if line.isprintable() else "it sends bytes of another protocol"

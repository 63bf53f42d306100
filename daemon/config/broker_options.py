"""The options `--broker` and `--node` of a command: read and checked. Pure."""

from ipaddress import IPv6Address

from pydantic import TypeAdapter, ValidationError

from daemon.config.mqtt import MqttConfig, TopicLevel
from daemon.core.errors import DocumentError
from daemon.core.text import redact_url

# the highest number of a port
MAX_PORT = 65_535

BROKER_FORMS = "expected HOST, HOST:PORT, an IPv6 address, or [IPv6 ADDRESS]:PORT, with a port from 1 to 65535"

# the name that stands for every node
ANY_NODE = "+"

_NODE: TypeAdapter[str] = TypeAdapter(TopicLevel)


def parse_broker(text: str) -> tuple[str, int | None]:
    """Return host and port of an address; None for the port where there is none. Raises ValueError.

    An IPv6 address with a port is in brackets, because `2001:db8::5` alone is an address whose last part is no port.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or not _is_ipv6(host) or (rest and not rest.startswith(":")):
            raise ValueError(BROKER_FORMS)
        return host, _port(rest[1:]) if rest else None
    if _is_ipv6(text):
        return text, None
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else None


def override_broker(broker: str | None, mqtt: MqttConfig) -> MqttConfig:
    """Return the settings with the broker replaced; for its forms see `parse_broker`. Raises DocumentError."""
    if broker is None:
        return mqtt
    try:
        host, port = parse_broker(broker)
        changed = {"host": host, "port": mqtt.port if port is None else port}
        return MqttConfig.model_validate({**dict(mqtt), **changed})
    except ValueError as error:
        raise DocumentError([f"--broker {redact_url(broker)}: {BROKER_FORMS}"]) from error


def check_node(node: str, *, any_node: bool) -> None:
    """Check the name of a node; `any_node` says whether + for all nodes is accepted. Raises DocumentError."""
    if node == ANY_NODE:
        if any_node:
            return
        raise DocumentError(["--node +: this command goes to one node; expected its name"])
    try:
        _NODE.validate_python(node)
    except ValidationError as error:
        expected = "expected the name of a node: 1 to 64 characters without spaces and none of + # / $"
        raise DocumentError(
            [f"--node {node[:80]!r}: {expected}{', or + for all nodes' if any_node else ''}"]
        ) from error


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT)) and 1 <= int(text) <= MAX_PORT):
        raise ValueError(BROKER_FORMS)
    return int(text)

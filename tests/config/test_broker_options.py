"""The options --broker and --node: what is read, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.broker_options import check_node, override_broker, parse_broker
from daemon.config.mqtt import MqttConfig, host_and_port
from daemon.core.errors import DocumentError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("broker", "broker", None),
        ("broker.example:8883", "broker.example", 8883),
        ("192.168.1.2:1", "192.168.1.2", 1),
        ("2001:db8::5", "2001:db8::5", None),
        ("::1", "::1", None),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", None),
        ("[::1]", "::1", None),
        ("[::1]:1883", "::1", 1883),
        ("[2001:db8::5]:65535", "2001:db8::5", 65_535),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int | None) -> None:
    assert parse_broker(text) == (host, port)
    settings = override_broker(text, MqttConfig(port=7))
    assert (settings.hosts, settings.port) == ((host,), port or 7)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "broker:", ":1883", "HOST:PORT", "broker:0", "broker:65536", "broker:1883x", "broker:+1883"),
        *("broker: 1883", "broker:1_883", "broker:\u0661", "broker:000001883", "a:b:1883", "2001:db8::5::1", "::1:x"),
        *("[::1", "[::1]1883", "[::1]:", "[::1]:0", "[broker]:1883", "[]:1883", "::1]:1883", "[1.2.3.4]:1883"),
        *("mqtt://broker", "mqtt://u:p@broker:1883", "u@broker", "broker/path", "my broker"),
    ],
)
def test_anything_else_is_refused_with_the_forms_that_are_read(text: str) -> None:
    with pytest.raises(DocumentError, match=r"^--broker .*: expected HOST, HOST:PORT, an IPv6 address, or \[IPv6"):
        override_broker(text, MqttConfig())


@given(st.ip_addresses(), st.integers(1, 65_535))
def test_an_address_that_a_message_shows_is_read_again(address: object, port: int) -> None:
    assert parse_broker(host_and_port(str(address), port)) == (str(address), port)
    assert parse_broker(str(address)) == (str(address), None)


def test_credentials_of_a_broker_never_appear() -> None:
    with pytest.raises(DocumentError, match=r"--broker mqtt://\*\*\*@host: expected HOST"):
        override_broker("mqtt://me:s3cret@host", MqttConfig())


@pytest.mark.parametrize("any_node", [False, True])
@pytest.mark.parametrize("node", ["", "#", "++", "a/b", "a b", "a+", "$SYS", "x" * 65, "hall/#"])
def test_a_node_has_a_name(node: str, any_node: bool) -> None:
    check_node("hall", any_node=any_node)
    with pytest.raises(DocumentError, match=r"^--node '.*': expected the name of a node") as error:
        check_node(node, any_node=any_node)
    assert str(error.value).endswith("or + for all nodes") == any_node


def test_a_plus_is_all_nodes_where_a_command_accepts_it() -> None:
    check_node("+", any_node=True)
    with pytest.raises(DocumentError, match="this command goes to one node"):
        check_node("+", any_node=False)

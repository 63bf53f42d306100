"""What answers at the broker's address, and is not the broker of the config: real sockets, real brokers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.doctor.node import broker_finding
from daemon.mqtt.broker.peer import identify_peer
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import Mosquitto
from tests.helpers.ports import free_port
from tests.helpers.serving import serving
from tests.mqtt.broker.test_credentials import tls_lines


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def answering(greeting: bytes, answer: bytes = b"") -> Iterator[int]:
    """Yield the port of a server that greets, reads once if it has an answer, sends it and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, greeting, answer), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(server: socket.socket, greeting: bytes, answer: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            try:
                connection.sendall(greeting)
                if answer:
                    connection.recv(1000)
                    connection.sendall(answer)
            except OSError:
                continue


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def found(port: int, **config: object) -> str:
    """Return the finding, without the beginning that is the same for all strangers."""
    trouble = identify_peer(MqttConfig(port=port, **config))
    assert trouble is not None and trouble.remedy is not None
    assert f"127.0.0.1:{port}" in trouble.finding
    return trouble.finding.removeprefix(f"what answers at 127.0.0.1:{port} does not speak MQTT: ")


@pytest.mark.parametrize(
    ("greeting", "answer", "expected"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"", "it is an SSH server"),
        (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "it is a web server"),
        (b"", b"RTSP/1.0 400 Bad Request\r\n\r\n", "it is an RTSP server"),
        (b"220 mail ESMTP\r\n", b"", "it sends '220 mail ESMTP'"),
        (b"\x00\xff\x1b[31m", b"", "it sends bytes of another protocol"),
        (b"", b"", "it closes each connection without an answer"),
    ],
)
def test_a_server_of_another_protocol_is_named(greeting: bytes, answer: bytes, expected: str) -> None:
    with answering(greeting, answer) as port:
        assert found(port) == expected


def test_a_web_server_that_waits_for_the_end_of_a_line_is_named(authority: Authority) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    with serving(server):
        assert found(server.server_port) == "it is a web server"
        assert found(server.server_port, tls=TlsConfig(ca_file=str(authority.ca_file))) == "it is a web server"


def test_a_broker_with_tls_on_a_port_without_and_the_other_way_round(authority: Authority) -> None:
    tls = TlsConfig(ca_file=str(authority.ca_file))
    with Mosquitto(more=tls_lines(authority)) as broker:
        assert found(broker.port) == f"127.0.0.1:{broker.port} speaks MQTT with TLS only"
        assert identify_peer(MqttConfig(port=broker.port, tls=tls)) is None
    with Mosquitto(more=[*tls_lines(authority), "require_certificate true"]) as broker:
        assert found(broker.port) == f"127.0.0.1:{broker.port} speaks TLS, and mqtt.tls is not set"
        assert identify_peer(MqttConfig(port=broker.port, tls=tls)) is None
    with Mosquitto() as broker:
        assert found(broker.port, tls=tls) == f"127.0.0.1:{broker.port} speaks MQTT without TLS"
        assert found(broker.port, transport="websockets") == f"127.0.0.1:{broker.port} speaks MQTT without websockets"
        assert identify_peer(MqttConfig(port=broker.port)) is None


def test_a_broker_that_refuses_the_login_is_a_broker() -> None:
    with Mosquitto(("device", "correct horse")) as broker:
        assert identify_peer(MqttConfig(port=broker.port)) is None


def test_without_a_server_there_is_nothing_to_name() -> None:
    assert identify_peer(MqttConfig(port=free_port())) is None


def test_doctor_names_the_server_and_what_to_do() -> None:
    with answering(b"SSH-2.0-OpenSSH_9.2p1\r\n") as port:
        finding = broker_finding(MqttConfig(port=port))
    assert (finding.level, finding.check) == ("failure", "broker")
    assert finding.found == f"what answers at 127.0.0.1:{port} does not speak MQTT: it is an SSH server"
    assert finding.remedy == "check mqtt.host and mqtt.port in config.yaml"

"""Every way to reach a real broker: TLS, client certificates, WebSocket, logins, MQTT 3.1.1."""

import logging
import os
import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.config.mqtt import MqttConfig, TlsConfig
from daemon.core.errors import Refused
from daemon.mqtt.broker.credentials import login, tls_context
from daemon.mqtt.session import Session
from tests.helpers.certificates import Authority
from tests.helpers.mosquitto import Mosquitto, Subscriber, wait_until
from tests.helpers.proxy import Proxy
from tests.helpers.websocket import WebSocketBridge
from tests.mqtt.records import event

SECRET = "correct horse"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls_lines(authority: Authority, *more: str) -> list[str]:
    certificate, key = authority.issue("broker")
    return [f"cafile {authority.ca_file}", f"certfile {certificate}", f"keyfile {key}", *more]


def started(config: MqttConfig, state: Path) -> Session:
    session = Session(config, "node", state)
    session.start({})
    return session


def works(session: Session) -> None:
    """Check that it connects, and that a large message and many small ones arrive."""
    try:
        wait_until(lambda: session.connected, f"connected ({session.status()['reason']})")
        session.publish("health", bytes(200_000), qos=1, retain=True)
        for number in range(300):
            session.publish_event("front/event", event(number))
        wait_until(lambda: session.status()["published"] >= 302, "all acknowledged")
    finally:
        session.stop(3.0)


def is_refused(session: Session, message: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check that it does not connect, and reports why, once, in log and health."""
    try:
        wait_until(lambda: message in caplog.text, message)
        reason = session.status()["reason"]
        assert reason is not None
        assert message in reason
        assert not session.connected
    finally:
        session.stop(3.0)
    assert caplog.text.count(message) == 1
    assert "Traceback" not in caplog.text


def test_a_broker_with_tls_is_verified_by_its_authority(authority: Authority, tmp_path: Path) -> None:
    with Mosquitto(more=tls_lines(authority)) as broker:
        tls = TlsConfig(ca_file=str(authority.ca_file))
        works(started(MqttConfig(port=broker.port, tls=tls), tmp_path / "state"))


def test_a_broker_is_reached_by_websocket(broker: Mosquitto, tmp_path: Path) -> None:
    with WebSocketBridge(broker.port, "/way/in") as bridge:
        config = MqttConfig(port=bridge.port, transport="websockets", websocket_path="/way/in")
        works(started(config, tmp_path / "state"))


def test_a_wrong_websocket_path_is_reported(broker: Mosquitto, tmp_path: Path, caplog) -> None:
    with WebSocketBridge(broker.port) as bridge:
        config = MqttConfig(port=bridge.port, transport="websockets", websocket_path="/elsewhere")
        is_refused(started(config, tmp_path / "state"), "trying again", caplog)


def test_a_client_certificate_is_accepted(authority: Authority, tmp_path: Path, caplog) -> None:
    certificate, key = authority.issue("device")
    with Mosquitto(more=tls_lines(authority, "require_certificate true")) as broker:
        files = {"certificate_file": str(certificate), "key_file": str(key)}
        tls = TlsConfig(ca_file=str(authority.ca_file), **files)
        works(started(MqttConfig(port=broker.port, tls=tls), tmp_path / "state"))
        without = MqttConfig(port=broker.port, tls=TlsConfig(ca_file=str(authority.ca_file)))
        is_refused(started(without, tmp_path / "state"), "trying again", caplog)


def test_an_unknown_authority_is_reported(authority: Authority, tmp_path: Path, caplog) -> None:
    stranger = Authority(tmp_path, "stranger")
    with Mosquitto(more=tls_lines(authority)) as broker:
        config = MqttConfig(port=broker.port, tls=TlsConfig(ca_file=str(stranger.ca_file)))
        is_refused(started(config, tmp_path / "state"), "its certificate cannot be trusted", caplog)


def test_a_certificate_for_another_name_is_reported(authority: Authority, tmp_path: Path, caplog) -> None:
    with Mosquitto(more=tls_lines(authority)) as broker:
        config = MqttConfig(host="localhost", port=broker.port, tls=TlsConfig(ca_file=str(authority.ca_file)))
        is_refused(started(config, tmp_path / "state"), "its certificate cannot be trusted", caplog)


def test_tls_to_a_port_without_tls_is_reported(broker: Mosquitto, authority: Authority, tmp_path: Path, caplog) -> None:
    config = MqttConfig(port=broker.port, tls=TlsConfig(ca_file=str(authority.ca_file)))
    is_refused(started(config, tmp_path / "state"), "trying again", caplog)


def test_a_login_without_the_right_to_publish_is_reported_once_and_fills_no_memory(tmp_path: Path, caplog) -> None:
    acl = tmp_path / "acl"
    acl.write_text("user device\ntopic readwrite elsewhere/#\n")
    with Mosquitto(login=("device", SECRET), more=[f"acl_file {acl}"]) as broker:
        config = MqttConfig(port=broker.port, username="device", password=SecretStr(SECRET))
        session = started(config, tmp_path / "state")
        for number in range(50):
            session.publish_event("front/event", event(number))
        wait_until(lambda: session.status()["reconnects"] >= 2, "this mosquitto cuts off who it denies")
        assert "Not authorized" in str(session.status()["reason"])
        session.stop(3.0)
        status = session.status()
        # an event that this mosquitto refuses before it cuts off the client is given up
        assert status["outbox"]["stored"] + status["dropped"].get("event_refused", 0) == 50
    assert caplog.text.count("refused perceptd/node/availability: Not authorized") == 1
    assert caplog.text.count("refused perceptd/node/front/event: Not authorized") <= 1


def test_a_broker_that_speaks_3_1_1_alone_gets_it(tmp_path: Path, caplog) -> None:
    """mosquitto speaks both versions; a proxy answers CONNECTs of MQTT 5 as an old broker does."""
    caplog.set_level(logging.INFO)
    with Mosquitto() as broker, Old(broker.port) as old, Subscriber(broker) as subscriber:
        session = started(MqttConfig(port=old.port), tmp_path / "state")
        works(session)
        assert len(subscriber.payloads("perceptd/node/front/event")) == 300
        wait_until(lambda: subscriber.heard[-1].payload == b"offline", "offline at the end")
    assert "MQTT 3.1.1" in caplog.text


class Old(Proxy):
    """A proxy that refuses MQTT 5 as MQTT 3.1.1 requires (section 3.2.2.3)."""

    def admit(self, near: socket.socket) -> bytes | None:
        connect = near.recv(65_536)
        level = connect[connect.index(b"MQTT") + 4]
        if level == 4:
            return connect
        near.sendall(b"\x20\x02\x00\x01")
        return None


@pytest.mark.parametrize(
    ("config", "credentials", "expected"),
    [
        ({}, {}, (None, None)),
        ({"username": "u", "password": SecretStr("p")}, {"mqtt-password": "other"}, ("u", "p")),
        ({"username": "u", "password_file": "file"}, {"mqtt-password": "other"}, ("u", "from a file")),
        ({"username": "u"}, {"mqtt-password": "secret\n"}, ("u", "secret")),
        ({}, {"mqtt-username": "me", "mqtt-password": "secret"}, ("me", "secret")),
    ],
)
def test_where_the_login_comes_from(tmp_path: Path, config: dict, credentials: dict, expected: tuple) -> None:
    (tmp_path / "file").write_text("from a file\nsecond line\n")
    for name, secret in credentials.items():
        (tmp_path / name).write_text(secret)
    if "password_file" in config:
        config = config | {"password_file": str(tmp_path / "file")}
    assert login(MqttConfig(**config), {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == expected
    if not credentials:
        assert login(MqttConfig(**config), {}) == expected


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), (b"\xff", "not UTF-8"), (bytes(5000), "larger")]
)
def test_a_password_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=f"mqtt.password_file = .*secret: {message}"):
        login(MqttConfig(password_file=str(path)), {})


def test_a_secret_that_everybody_can_read_is_reported_by_the_name_of_its_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text("s3cret")
    authority = Authority(tmp_path)
    certificate, key = authority.issue("device")
    tls = TlsConfig(certificate_file=str(certificate), key_file=str(key))
    for mode, count in ((0o640, 0), (0o644, 2)):
        password.chmod(mode)
        key.chmod(mode)
        login(MqttConfig(password_file=str(password)), {})
        tls_context(tls)
        assert caplog.text.count("every user of this machine can read it") == count
    assert f"mqtt.password_file = {password}: " in caplog.text and f"mqtt.tls.key_file = {key}: " in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("key", ["ca_file", "certificate_file"])
@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_certificate_that_cannot_be_used_is_refused_by_name(tmp_path: Path, key: str, content: bytes | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=f"mqtt.tls.{key} = .*file.pem"):
        tls_context(TlsConfig(**{key: str(path)}))


def test_a_secret_that_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    """Opening a FIFO waits for a writer that never comes."""
    fifo, link = tmp_path / "fifo", tmp_path / "link"
    os.mkfifo(fifo)
    with pytest.raises(Refused, match=r"mqtt\.password_file = .*: cannot be read: is a FIFO, expected a plain file"):
        login(MqttConfig(password_file=str(fifo)))
    for files in ({"ca_file": str(fifo)}, {"certificate_file": str(fifo), "key_file": str(fifo)}):
        with pytest.raises(Refused, match="is a FIFO, expected a plain file"):
            tls_context(TlsConfig(**files))
    (tmp_path / "password").write_text("secret\n")
    link.symlink_to(tmp_path / "password")  # as container managers mount secrets
    assert login(MqttConfig(username="me", password_file=str(link))) == ("me", "secret")
